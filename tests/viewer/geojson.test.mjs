import assert from "node:assert/strict";
import { test } from "node:test";

import { PLAIN } from "../../wsicomp/viewer/static/annotation_labels.js";
import * as geojson from "../../wsicomp/viewer/static/geojson.js";
import { areaOf } from "../../wsicomp/viewer/static/shapes.js";

const SLIDE = { width: 1000, height: 800 };
const RING = [
  [10, 10],
  [110, 10],
  [110, 60],
  [10, 60],
  [10, 10],
];
const HOLE = [
  [20, 20],
  [20, 30],
  [30, 30],
  [30, 20],
  [20, 20],
];

const feature = (geometry, properties = {}) => ({ type: "Feature", geometry, properties });
const polygon = (...rings) => ({ type: "Polygon", coordinates: rings });
const read = (content) => geojson.importText(JSON.stringify(content), SLIDE);
const refused = (content, reason) =>
  assert.throws(
    () => read(content),
    (error) => error instanceof geojson.GeoJsonError && reason.test(error.message) && !error.message.includes("\n"),
  );

test("an annotation of QuPath comes in whole", () => {
  const { shapes, notes } = read({
    type: "FeatureCollection",
    features: [
      feature(polygon(RING, HOLE), {
        objectType: "annotation",
        name: "A",
        classification: { name: "Tumor", color: [200, 0, 0] },
      }),
    ],
  });
  assert.deepEqual(notes, []);
  assert.deepEqual(shapes, [
    { name: "A", className: "Tumor", color: [200, 0, 0], polygons: [[RING.slice(0, -1), HOLE.slice(0, -1)]] },
  ]);
  assert.equal(areaOf(shapes[0]), 4900);
});

test("features alone, in lists, in each other and bare geometries come in", () => {
  const child = feature(polygon(RING), { classification: "Stroma" });
  assert.equal(read(child).shapes[0].className, "Stroma");
  assert.equal(read([child, child]).shapes.length, 2);
  assert.equal(read(polygon(RING)).shapes[0].className, "");
  const parent = feature(polygon(RING), { childObjects: [child] });
  assert.deepEqual(
    read([parent]).shapes.map((each) => each.className),
    ["", "Stroma"],
  );
  const many = { type: "MultiPolygon", coordinates: [[RING], [HOLE]] };
  assert.equal(read(many).shapes[0].polygons.length, 2);
  const collection = {
    type: "GeometryCollection",
    geometries: [many, { type: "Point", coordinates: [1, 1] }],
  };
  assert.equal(read(feature(collection)).shapes[0].polygons.length, 2);
});

test("every form in which QuPath has written classes and colours is read", () => {
  const of = (properties) => read(feature(polygon(RING), properties)).shapes[0];
  assert.equal(of({ classification: { names: ["Tumor", "Positive"] } }).className, "Tumor: Positive");
  const old = of({
    classification: { name: "Positive", colorRGB: -3670016, parentClass: { name: "Tumor" } },
  });
  assert.deepEqual([old.className, old.color], ["Tumor: Positive", [200, 0, 0]]);
  assert.deepEqual(of({ color: [1, 2, 3] }).color, [1, 2, 3]);
  assert.deepEqual(of({ classification: { name: "Stroma" } }).color, [150, 200, 150]);
  assert.deepEqual(of({ color: [1, 2, 300] }).color, PLAIN);
  assert.equal(of({ classification: 7, name: { a: 1 } }).className, "");
});

test("what has no area is left out, and said", () => {
  const { shapes, notes } = read([
    feature(polygon(RING)),
    feature({ type: "Point", coordinates: [5, 5] }),
    feature(
      polygon([
        [1, 1],
        [1, 1],
        [1, 1],
      ]),
    ),
    feature(null),
  ]);
  assert.equal(shapes.length, 1);
  assert.match(notes.join("; "), /^2 points or lines/);
});

test("outlines are cut at the edges of the slide, and those outside left out", () => {
  const across = polygon([
    [-50, 0],
    [50, 0],
    [50, 100],
    [-50, 100],
  ]);
  const outside = polygon([
    [2000, 0],
    [2100, 0],
    [2100, 100],
  ]);
  const { shapes, notes } = read([feature(across), feature(outside)]);
  assert.equal(areaOf(shapes[0]), 5000);
  assert.match(notes.join("; "), /1 outlines outside.*1 outlines were cut/);
  refused([feature(outside)], /outside the slide of 1000 x 800 px/);
  const rounded = read(
    polygon([
      [-0.5, 0],
      [50, 0],
      [50, 100],
      [-0.5, 100],
    ]),
  );
  assert.deepEqual(rounded.notes, []);
  assert.equal(areaOf(rounded.shapes[0]), 5000);
});

test("an outline that crosses itself is taken, and said", () => {
  const { shapes, notes } = read(
    polygon([
      [0, 0],
      [100, 100],
      [100, 0],
      [0, 100],
    ]),
  );
  assert.ok(geojson.crossesItself(shapes[0]));
  assert.match(notes[0], /cross themselves/);
});

test("damaged files are refused in words", () => {
  assert.throws(() => geojson.importText('{"type": "Feat', SLIDE), /not JSON/);
  assert.throws(() => geojson.importText(`"${"x".repeat(1_000_000)}"`, SLIDE), /1\.0 MB, expected at most 1\.0 MB/);
  refused(null, /expected an object/);
  refused(7, /expected an object/);
  refused({}, /type "undefined"/);
  refused({ type: "FeatureCollection" }, /expected a list for "features"/);
  refused({ type: "FeatureCollection", features: [] }, /nothing with an area/);
  refused(
    polygon([
      [1, 1],
      [2, "2"],
      [3, 3],
    ]),
    /finite numbers/,
  );
  refused(
    polygon([
      [1, 1],
      [2, null],
      [3, 3],
    ]),
    /finite numbers/,
  );
  refused(polygon([[1, 1], 5, [3, 3]]), /a list for a point/);
  refused(polygon(5), /a list for a ring/);
  assert.throws(
    () => geojson.importText('{"type":"Polygon","coordinates":[[[1e999,1],[2,2],[3,1]]]}', SLIDE),
    /finite/,
  );
  refused(feature({ type: "Circle", coordinates: [1, 1] }), /"Circle"/);
  let nested = polygon(RING);
  for (let depth = 0; depth < 40; depth += 1) nested = { type: "GeometryCollection", geometries: [nested] };
  refused(nested, /deep/);
  let lists = polygon(RING);
  for (let depth = 0; depth < 40; depth += 1) lists = [lists];
  refused(lists, /deep/);
  const triangle = feature(
    polygon([
      [1, 1],
      [2, 1],
      [1, 2],
    ]),
  );
  refused(Array(geojson.MOST_SHAPES + 1).fill(triangle), /over 2,000 annotations/);
  const teeth = Array.from({ length: geojson.MOST_POINTS + 2 }, (_, step) => [step % 2, 1]);
  refused(polygon(teeth), /over 100,000 points/);
});

test("a byte order mark before the text is no damage", () => {
  assert.equal(geojson.importText(`\uFEFF${JSON.stringify(polygon(RING))}`, SLIDE).shapes.length, 1);
});

test("measurements that are no numbers, as QuPath writes them, do no harm", () => {
  const text = JSON.stringify(feature(polygon(RING), { name: 'a "NaN" here: NaN, -Infinity', measurements: 0 }));
  const { shapes } = geojson.importText(text.replace('"measurements":0', '"measurements":{"a":NaN,"b":-Infinity}'), SLIDE);
  assert.deepEqual([shapes.length, shapes[0].name], [1, 'a "NaN" here: NaN, -Infinity']);
  assert.throws(() => geojson.importText('{"type": "Polygon", "coordinates": [[[NaN, 0], [9, 0], [9, 9]]]}', SLIDE), /two finite/);
});

test("a class called as a part of every object is a class", () => {
  const { shapes } = read(feature(polygon(RING), { classification: { name: "constructor" }, name: "__proto__" }));
  assert.deepEqual([shapes[0].className, shapes[0].name], ["constructor", "__proto__"]);
});

test("what goes out comes in again the same", () => {
  const { shapes } = read([
    feature(polygon(RING, HOLE), {
      name: "A",
      classification: { name: "Tumor: Positive", color: [9, 8, 7] },
    }),
    feature({ type: "MultiPolygon", coordinates: [[RING], [HOLE]] }, { color: [1, 2, 3] }),
  ]);
  const text = geojson.exportText(shapes);
  assert.deepEqual(geojson.importText(text, SLIDE).shapes, shapes);
  const content = JSON.parse(text);
  assert.equal(content.type, "FeatureCollection");
  assert.deepEqual(
    content.features[0],
    feature(polygon(RING, HOLE), {
      objectType: "annotation",
      name: "A",
      classification: { name: "Tumor: Positive", color: [9, 8, 7] },
    }),
  );
  assert.equal(content.features[1].geometry.type, "MultiPolygon");
});
