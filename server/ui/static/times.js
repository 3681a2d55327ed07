// Times are sent in UTC; whoever reads them lives somewhere.

const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Writes every <time> below `root` in the reader's own zone. */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.dateTime;
    time.textContent = form.format(new Date(time.dateTime));
  }
}

localTimes(document);
