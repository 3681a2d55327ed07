// The clipboard, also of pages without TLS, which are not given it.

/** Copies `text`. @throws {Error} the browser does not let it */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus?.();
  if (!done) throw new Error("The browser does not let this page copy.");
}
