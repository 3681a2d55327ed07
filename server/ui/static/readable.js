// What strangers wrote, made safe to look at. The server does the same: see programs/readable.py.

const UNSHOWN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]/g;

/** The text, with what would change the order of what is read, and other controls, written as escapes. */
export function readable(text) {
  return text.replace(UNSHOWN, (found) => {
    const code = found.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}
