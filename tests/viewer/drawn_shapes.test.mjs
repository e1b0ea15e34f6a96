import assert from "node:assert/strict";
import { test } from "node:test";

import { DrawnShapes } from "../../wsicomp/viewer/static/drawn_shapes.js";
import { rectangle } from "../../wsicomp/viewer/static/shapes.js";

const SLIDE = { width: 1000, height: 800 };
const shape = (name, x = 0) => ({
  name,
  className: "Tumor",
  color: [200, 0, 0],
  polygons: [rectangle({ x, y: 0, width: 10, height: 10 })],
});
const names = (drawing) => drawing.shapes.map((each) => each.name).join(" ");

class Kept {
  constructor() {
    this.values = new Map();
  }
  getItem(key) {
    return this.values.get(key) ?? null;
  }
  setItem(key, value) {
    if (this.isFull) throw new Error("full");
    this.values.set(key, value);
  }
  removeItem(key) {
    this.values.delete(key);
  }
}

test("every change can be undone and done again, and a new one ends what could be redone", () => {
  const drawing = new DrawnShapes();
  drawing.add([shape("a")]);
  drawing.add([shape("b"), shape("c")]);
  assert.equal(drawing.selected, 2);
  drawing.select(0);
  drawing.remove();
  assert.equal(names(drawing), "b c");
  drawing.undo();
  assert.equal(names(drawing), "a b c");
  drawing.undo();
  drawing.redo();
  assert.equal(names(drawing), "a b c");
  assert.ok(drawing.canRedo);
  drawing.clear();
  assert.ok(!drawing.canRedo);
  drawing.undo();
  drawing.undo();
  drawing.undo();
  assert.equal(names(drawing), "");
  assert.ok(!drawing.canUndo);
  drawing.undo();
  assert.equal(drawing.selectedShape, null);
});

test("steps of one motion are undone together, and two motions apart", () => {
  const drawing = new DrawnShapes();
  drawing.add([shape("a"), shape("b")]);
  for (const x of [1, 2, 3]) drawing.replace(shape("b", x), "move");
  drawing.undo();
  assert.deepEqual(drawing.shapes[1].polygons[0][0][0], [0, 0]);
  drawing.replace(shape("b", 5), "move");
  drawing.select(0);
  drawing.select(1);
  drawing.replace(shape("b", 9), "move");
  drawing.undo();
  assert.deepEqual(drawing.shapes[1].polygons[0][0][0], [5, 0]);
});

test("only so many changes are kept", () => {
  const drawing = new DrawnShapes();
  drawing.add([shape("a")]);
  for (let x = 0; x < 200; x += 1) drawing.replace(shape("a", x));
  let undone = 0;
  for (; drawing.canUndo; undone += 1) drawing.undo();
  assert.equal(undone, 50);
});

test("all shapes of a class take its colour", () => {
  const drawing = new DrawnShapes();
  drawing.add([shape("a"), { ...shape("b"), className: "" }, shape("c")]);
  drawing.recolor("Tumor", [1, 2, 3]);
  assert.deepEqual(
    drawing.shapes.map((each) => each.color[0]),
    [1, 200, 1],
  );
});

test("too many shapes or points are refused, and the drawing stays as it was", () => {
  const drawing = new DrawnShapes();
  drawing.add([shape("a")]);
  assert.throws(() => drawing.add(Array(2000).fill(shape("b"))), /2,001 shapes together, expected at most 2,000/);
  const teeth = Array.from({ length: 60_000 }, (_, step) => [step % 2, step]);
  drawing.add([{ ...shape("b"), polygons: [[teeth]] }]);
  assert.throws(() => drawing.add([{ ...shape("c"), polygons: [[teeth]] }]), /120,004 points together/);
  assert.equal(names(drawing), "a b");
});

test("shapes come back from a storage, and what it does not take is said", () => {
  const storage = new Kept();
  const errors = [];
  const drawing = new DrawnShapes();
  drawing.keepIn(storage, "key", SLIDE, (error) => errors.push(error));
  drawing.add([shape("a"), shape("b")]);
  const again = new DrawnShapes();
  again.keepIn(storage, "key", SLIDE, (error) => errors.push(error));
  assert.deepEqual(again.shapes, drawing.shapes);
  assert.equal(errors.length, 0);
  storage.isFull = true;
  drawing.remove();
  assert.equal(errors.length, 1);
  drawing.clear();
  assert.equal(storage.getItem("key"), null);
  storage.values.set("key", "{damaged");
  const third = new DrawnShapes();
  third.keepIn(storage, "key", SLIDE, (error) => errors.push(error));
  assert.equal(third.shapes.length, 0);
  assert.equal(errors.length, 2);
});
