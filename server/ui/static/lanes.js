// Where the bars of a time line lie: a band for each session, in it lanes, in each lane bars that do not overlap.

const HEIGHTS = { step: 5, turn: 13, tool: 8, call: 6 }; // pixels of a lane
const LANES = { step_done: "step", code_written: "turn", code_ran: "turn", concluded: "turn", tool_ran: "tool", model_called: "call" };
const GAP = 9; // below a band
const LEAST = 1; // pixels of a lane of calls, where there are many

/**
 * Lays out a model.
 *
 * Gives `{bands, lanes, height}`: bands `{session, depth, top, bottom, node}`, lanes
 * `{kind, top, height, bars}` with bars `{node, start, end}` ordered by time, and the height of it all in pixels.
 *
 * @param {import("./model.js").Model} model
 * @param {{now: number, height: number}} room seconds until now, and the pixels that are there
 */
export function layOut(model, { now, height }) {
  const bands = new Map();
  collect(model.root, bands, now);
  const lanes = [];
  let fixed = 0;
  let calls = 0;
  for (const band of bands.values()) {
    band.lanes = ["step", "turn", "tool", "call"].flatMap((kind) => pack(kind, band.bars[kind] || []));
    for (const lane of band.lanes) {
      if (lane.kind === "call") calls += 1;
      else fixed += HEIGHTS[lane.kind] + 1;
    }
  }
  const crowded = bands.size > 12 ? 3 : GAP;
  const left = height - fixed - crowded * bands.size;
  const thin = calls ? Math.max(LEAST, Math.min(HEIGHTS.call + 1, left / calls)) : 0;
  let top = 0;
  for (const band of bands.values()) {
    band.top = top;
    for (const lane of band.lanes) {
      lane.top = top;
      const whole = lane.kind === "call" ? thin : HEIGHTS[lane.kind] + 1;
      lane.height = whole > 2.5 ? whole - 1 : whole;
      top += whole;
      lanes.push(lane);
    }
    band.bottom = top;
    top += crowded;
  }
  return { bands: [...bands.values()], lanes, height: Math.ceil(top) };
}

/** The stretches from 0 to `until` in which no bar of the lanes lies. */
export function gaps(lanes, until) {
  const bars = lanes.flatMap((lane) => lane.bars).sort((one, other) => one.start - other.start);
  const found = [];
  let reached = 0;
  for (const bar of bars) {
    if (bar.start > reached) found.push({ start: reached, end: bar.start });
    reached = Math.max(reached, bar.end);
  }
  if (until > reached) found.push({ start: reached, end: until });
  return found;
}

function collect(parent, bands, now) {
  for (const node of parent.children) {
    const kind = LANES[node.kind];
    if (node.number !== null && (kind || node.kind === "session_opened")) {
      const session = node.session.replace(/\+\d+$/, "");
      let band = bands.get(session);
      if (!band) bands.set(session, (band = { session, depth: session.split("/").length - 1, bars: {}, node }));
      if (kind) {
        const end = node.running ? Math.max(now, node.at) : node.at + node.seconds;
        (band.bars[kind] ||= []).push({ node, start: node.at, end });
      }
    }
    collect(node, bands, now);
  }
}

// Greedily: each bar goes into the first lane that is free when it begins.
function pack(kind, bars) {
  bars.sort((one, other) => one.start - other.start);
  const lanes = [];
  for (const bar of bars) {
    // Clocks differ in the microseconds between two measurements.
    let lane = kind === "call" || kind === "tool" ? lanes.find((one) => one.end <= bar.start + 0.0005) : lanes[0];
    if (!lane) lanes.push((lane = { kind, bars: [], end: 0 }));
    lane.bars.push(bar);
    lane.end = Math.max(lane.end, bar.end);
  }
  return lanes;
}
