// The way that the vehicle has come since this page was opened, north up.

import { byId, drawn, say } from "./dom.js";

// Points that are kept, and how far apart they are at least, in metres; both are doubled in turn where the way is long.
const MOST = 800;
const NEAR_M = 2;
const WIDE = 320, TALL = 200, EDGE = 22;
const SIDES = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

export const side = degrees => SIDES[Math.round(degrees / 45) % 8];

export class Plot {
  points = [];
  apart = NEAR_M;
  way = 0;

  // Where the vehicle is, in degrees, and where it heads.
  add(position, heading) {
    if (!position) return;
    if (!this.origin) this.origin = { ...position };
    const east = (position.longitude_deg - this.origin.longitude_deg) * 111_320 * Math.cos(this.origin.latitude_deg * Math.PI / 180);
    const north = (position.latitude_deg - this.origin.latitude_deg) * 110_574;
    const last = this.points.at(-1);
    const far = last ? Math.hypot(east - last[0], north - last[1]) : Infinity;
    // Nobody drives two kilometres between two looks: it is another drive.
    if (last && far > 2000) return this.restart(position, heading);
    if (far >= this.apart) {
      if (last) this.way += far;
      this.points.push([east, north]);
      if (this.points.length > MOST) {
        this.points = this.points.filter((_, n) => n % 2 === 0);
        this.apart *= 2;
      }
    }
    this.draw([east, north], heading);
  }

  restart(position, heading) {
    Object.assign(this, { points: [], apart: NEAR_M, way: 0, origin: null });
    this.add(position, heading);
  }

  draw(here, heading) {
    const all = [...this.points, here];
    const [xs, ys] = [all.map(point => point[0]), all.map(point => point[1])];
    const [minX, maxX, minY, maxY] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const span = Math.max((maxX - minX) / (WIDE - 2 * EDGE), (maxY - minY) / (TALL - 2 * EDGE), 0.25);
    const at = ([x, y]) => [WIDE / 2 + (x - (minX + maxX) / 2) / span, TALL / 2 - (y - (minY + maxY) / 2) / span];
    const text = points => points.map(point => at(point).map(number => number.toFixed(1)).join(",")).join(" ");
    // A length that is easily read, between a fifth and half of the width.
    const step = [1, 2, 5].flatMap(n => [0, 1, 2, 3, 4].map(e => n * 10 ** e)).sort((a, b) => a - b).find(m => m / span >= WIDE / 5) || 50_000;
    const parts = [
      drawn("polyline", { class: "way", points: text(all) }),
      drawn("path", { class: "grid", d: `M${EDGE / 2} ${TALL - 10}h${(step / span).toFixed(1)}` }),
      drawn("text", { x: EDGE / 2, y: TALL - 15 }, step >= 1000 ? `${step / 1000} km` : `${step} m`),
      drawn("text", { x: WIDE - 16, y: 16, "text-anchor": "middle" }, "N"),
      drawn("path", { class: "grid", d: `M${WIDE - 16} 34v-14m-3 4l3-4l3 4`, fill: "none" }),
    ];
    const [x, y] = at(here);
    parts.push(heading === null
      ? drawn("circle", { class: "here", cx: x, cy: y, r: 6 })
      : drawn("path", { class: "here", d: "M0-9L6.5 7L0 3.5L-6.5 7Z", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${heading.toFixed(0)})` }));
    byId("plot").replaceChildren(...parts);
    const far = this.way >= 1000 ? `${(this.way / 1000).toFixed(1)} km` : `${Math.round(this.way)} m`;
    say(byId("plot-words"), `${far} since this page was opened, north up.`);
  }
}
