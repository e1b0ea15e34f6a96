import assert from "node:assert/strict";
import { test } from "node:test";

import * as rings from "../../wsicomp/viewer/static/rings.js";
import * as shapes from "../../wsicomp/viewer/static/shapes.js";

const SLIDE = { width: 1000, height: 800 };
const SQUARE = {
  name: "",
  className: "",
  color: [255, 0, 0],
  polygons: [
    [
      [
        [0, 0],
        [10, 0],
        [10, 10],
        [0, 10],
      ],
    ],
  ],
};
const TRIANGLE = {
  ...SQUARE,
  polygons: [
    [
      [
        [100, 100],
        [200, 100],
        [100, 300],
      ],
    ],
  ],
};
const WITH_HOLE = {
  ...SQUARE,
  polygons: [
    [
      SQUARE.polygons[0][0],
      [
        [2, 2],
        [2, 4],
        [4, 4],
        [4, 2],
      ],
    ],
  ],
};

test("areas leave holes out and sum polygons, whichever way they run", () => {
  assert.equal(shapes.areaOf(SQUARE), 100);
  assert.equal(shapes.areaOf(WITH_HOLE), 96);
  assert.equal(shapes.areaOf(TRIANGLE), 10_000);
  assert.equal(shapes.areaOf({ polygons: [...TRIANGLE.polygons, [SQUARE.polygons[0][0].toReversed()]] }), 10_100);
});

test("a small ring far from the origin keeps its area", () => {
  const far = [
    [1e8 + 0.25, 1e8],
    [1e8 + 0.5, 1e8],
    [1e8 + 0.5, 1e8 + 0.5],
    [1e8 + 0.25, 1e8 + 0.5],
  ];
  assert.equal(shapes.areaOf({ polygons: [[far]] }), 0.125);
});

test("areas are said in mm2, in um2 where they are small, in px without a mpp", () => {
  assert.equal(shapes.areaText(4_000_000, 0.5), "1.00 mm²");
  assert.equal(shapes.areaText(400, 0.5), "100 µm²");
  assert.equal(shapes.areaText(26_320, 0.5), "6,580 µm²");
  assert.equal(shapes.areaText(1234567, null), "1,234,567 px");
});

test("a rectangle is known whichever corner comes first, and nothing else is one", () => {
  assert.ok(shapes.isRectangle(SQUARE));
  assert.ok(shapes.isRectangle({ ...SQUARE, polygons: [[SQUARE.polygons[0][0].toReversed()]] }));
  assert.ok(!shapes.isRectangle(TRIANGLE));
  assert.ok(!shapes.isRectangle(WITH_HOLE));
  assert.ok(!shapes.isRectangle({ ...SQUARE, polygons: [...SQUARE.polygons, ...TRIANGLE.polygons] }));
});

test("rings are opened and closed", () => {
  assert.deepEqual(
    rings.opened([
      [1, 1],
      [1, 1],
      [2, 1],
      [2, 2],
      [1, 1],
    ]),
    [
      [1, 1],
      [2, 1],
      [2, 2],
    ],
  );
  assert.deepEqual(
    rings.closed([
      [1, 1],
      [2, 1],
      [2, 2],
    ]),
    [
      [1, 1],
      [2, 1],
      [2, 2],
      [1, 1],
    ],
  );
});

test("rings that cross, touch or run back along themselves are found", () => {
  assert.equal(rings.crossing(SQUARE.polygons[0][0]), null);
  assert.notEqual(
    rings.crossing([
      [0, 0],
      [10, 10],
      [10, 0],
      [0, 10],
    ]),
    null,
  );
  assert.notEqual(
    rings.crossing([
      [0, 0],
      [10, 0],
      [10, 10],
      [5, 0],
      [0, 10],
    ]),
    null,
  );
  assert.notEqual(
    rings.crossing([
      [0, 0],
      [10, 0],
      [5, 0],
      [5, 5],
    ]),
    null,
  );
  assert.match(
    rings.faultOf([
      [0, 0],
      [10, 10],
      [10, 0],
      [0, 10],
    ]),
    /crosses itself near/,
  );
  assert.match(
    rings.faultOf([
      [0, 0],
      [5, 5],
      [10, 10],
    ]),
    /crosses/,
  );
  assert.match(
    rings.faultOf([
      [0, 0],
      [5, 5],
    ]),
    /at least 3/,
  );
});

test("crossings are those that comparing each edge with each finds", () => {
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  let crossed = 0;
  for (let round = 0; round < 2000; round += 1) {
    const ring = Array.from({ length: 3 + (round % 4) }, () => [random(), random()]);
    const edges = ring.map((from, index) => [from, ring[(index + 1) % ring.length]]);
    const found = edges.some(([p, q], i) =>
      edges.some(
        ([r, s], j) =>
          Math.abs(i - j) > 1 &&
          Math.abs(i - j) < ring.length - 1 &&
          turn(p, q, r) * turn(p, q, s) < 0 &&
          turn(r, s, p) * turn(r, s, q) < 0,
      ),
    );
    crossed += found ? 1 : 0;
    assert.equal(rings.crossing(ring) !== null, found, JSON.stringify(ring));
  }
  assert.ok(crossed > 200 && crossed < 1800, `${crossed} of 2000 cross`);
});

test("a long outline is looked through, and a comb of edges above each other is not", () => {
  const circle = Array.from({ length: 20_000 }, (_, step) => {
    const angle = (step / 20_000) * 2 * Math.PI;
    return [1000 * Math.cos(angle), 1000 * Math.sin(angle)];
  });
  assert.equal(rings.crossing(circle), null);
  const comb = Array.from({ length: 20_000 }, (_, step) => [step % 2 ? 0 : 1000, step]);
  assert.equal(rings.crossing(comb), undefined);
  assert.match(rings.faultOf(comb), /too many edges/);
});

test("a moved corner of a rectangle leaves a rectangle, one of a polygon moves alone", () => {
  const larger = shapes.withVertexAt(SQUARE, { polygon: 0, ring: 0, point: 2 }, [30, 20]);
  assert.deepEqual(shapes.boundsOf(larger), { x: 0, y: 0, width: 30, height: 20 });
  assert.ok(shapes.isRectangle(larger));
  const flipped = shapes.withVertexAt(SQUARE, { polygon: 0, ring: 0, point: 0 }, [30, 20]);
  assert.deepEqual(shapes.boundsOf(flipped), { x: 10, y: 10, width: 20, height: 10 });
  const hole = shapes.withVertexAt(WITH_HOLE, { polygon: 0, ring: 1, point: 1 }, [2, 6]);
  assert.deepEqual(hole.polygons[0][1], [
    [2, 2],
    [2, 6],
    [4, 4],
    [4, 2],
  ]);
  assert.deepEqual(hole.polygons[0][0], WITH_HOLE.polygons[0][0]);
  assert.deepEqual(WITH_HOLE.polygons[0][1][1], [2, 4]);
});

test("shapes stay on the slide as they are moved and resized", () => {
  assert.deepEqual(shapes.boundsOf(shapes.moved(TRIANGLE, -500, 30, SLIDE)), {
    x: 0,
    y: 130,
    width: 100,
    height: 200,
  });
  assert.deepEqual(shapes.boundsOf(shapes.moved(TRIANGLE, 5000, 5000, SLIDE)), {
    x: 900,
    y: 600,
    width: 100,
    height: 200,
  });
  assert.deepEqual(shapes.boundsOf(shapes.resized(TRIANGLE, 50, -20, SLIDE)), {
    x: 100,
    y: 100,
    width: 150,
    height: 180,
  });
  assert.deepEqual(shapes.boundsOf(shapes.resized(SQUARE, -50, 9999, SLIDE)), {
    x: 0,
    y: 0,
    width: 1,
    height: 800,
  });
  assert.deepEqual(shapes.within([-3.2, 801], SLIDE), [0, 800]);
  assert.deepEqual(shapes.within([3.6, 4.4], SLIDE), [4, 4]);
});

test("a shape holds the points inside it and not those in its hole", () => {
  assert.ok(shapes.contains(WITH_HOLE, [1, 1]));
  assert.ok(!shapes.contains(WITH_HOLE, [3, 3]));
  assert.ok(!shapes.contains(WITH_HOLE, [11, 3]));
  assert.deepEqual(shapes.vertexNear(WITH_HOLE, [4.5, 4.5], 2), { polygon: 0, ring: 1, point: 2 });
  assert.equal(shapes.vertexNear(WITH_HOLE, [7, 7], 2), null);
});

test("rings are cut off at the edges of the slide", () => {
  const ring = [
    [-100, -100],
    [100, -100],
    [100, 100],
    [-100, 100],
  ];
  assert.equal(shapes.areaOf({ polygons: [[rings.cutAtEdges(ring, SLIDE)]] }), 10_000);
  const corner = [
    [900, 700],
    [1100, 700],
    [1100, 900],
    [900, 900],
  ];
  assert.equal(shapes.areaOf({ polygons: [[rings.cutAtEdges(corner, SLIDE)]] }), 10_000);
  assert.ok(
    rings.cutAtEdges(
      [
        [2000, 0],
        [2100, 0],
        [2100, 9],
      ],
      SLIDE,
    ).length < 3,
  );
  const inside = TRIANGLE.polygons[0][0];
  assert.deepEqual(rings.cutAtEdges(inside, SLIDE), inside);
});
