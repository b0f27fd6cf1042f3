"use strict";
// Browses the pairs of replies embedded in the page. Texts of others only ever become text nodes.
(() => {
  const PAGE = 50; // rows shown at once
  const LONG = 600; // characters; longer texts are cut until asked for
  const { rows, texts } = JSON.parse(document.getElementById("replies-data").textContent);
  const folded = texts.map((text) => text.toLowerCase());
  const box = document.getElementById("replies");
  const facets = [...box.querySelectorAll("select")];
  const search = box.querySelector("input");
  const status = box.querySelector("[role=status]");
  const body = box.querySelector("tbody");
  const button = (name) => box.querySelector(`button[name=${name}]`);
  let begin = 0; // the first row shown, counted among those that match

  function make(tag, content, kind) {
    const element = document.createElement(tag);
    element.textContent = content;
    if (kind) element.className = kind;
    return element;
  }

  const chosen = (row, facet) => facet.value === "" || row[facet.name].includes(Number(facet.value));

  const needle = () => search.value.trim().toLowerCase();

  function found() {
    const sought = needle();
    if (!sought) return rows;
    const hits = folded.map((text) => text.includes(sought));
    return rows.filter((row) => [row.prompt, row.reference, row.before, row.after].some((place) => hits[place]));
  }

  function count(among, name) {
    const counts = new Map();
    for (const row of among) for (const place of row[name]) counts.set(place, (counts.get(place) || 0) + 1);
    return counts;
  }

  // A facet offers what the other filters leave over, and always what is chosen.
  function offer(facet, among) {
    const left = among.filter((row) => facets.every((other) => other === facet || chosen(row, other)));
    const counts = count(left, facet.name);
    const value = facet.value;
    if (value !== "" && !counts.has(Number(value))) counts.set(Number(value), 0);
    const places = [...counts.keys()].sort((a, b) => a - b);
    facet.replaceChildren(new Option("all", ""), ...places.map((p) => new Option(`${texts[p]} (${counts.get(p)})`, p)));
    facet.value = value;
  }

  function passage(place) {
    const text = texts[place];
    if (!text.trim()) return [make("p", "(empty)", "note")];
    const words = make("div", text, "text");
    if (text.length <= LONG) return [words];
    const hit = folded[place].indexOf(needle()); // what was searched for is in the part shown
    const from = hit < LONG / 2 ? 0 : hit - LONG / 2;
    const part = (from > 0 ? "… " : "") + text.slice(from, from + LONG) + (from + LONG < text.length ? " …" : "");
    const more = make("button", "", "more");
    more.type = "button";
    const show = (whole) => {
      words.textContent = whole ? text : part;
      more.textContent = whole ? "show less" : `show all ${text.length.toLocaleString("en")} characters`;
      more.setAttribute("aria-expanded", whole);
    };
    more.addEventListener("click", () => show(more.getAttribute("aria-expanded") !== "true"));
    show(false);
    return [words, more];
  }

  function reply(row, when) {
    const right = row[`${when}_ok`];
    const labels = row[`${when}_label`].map((place) => texts[place]);
    const head = make("p", `${when}: `, "note");
    const verdict = right === null ? "no verdict" : right ? "right" : "wrong";
    head.append(make("span", verdict, right === null ? "" : right ? "ok" : "bad"));
    if (labels.length) head.append(`, ${labels.join(", ")}`);
    return [head, ...passage(row[when])];
  }

  function draw(row) {
    const places = [...row.method, ...row.axis, ...row.group];
    const example = [make("p", places.map((place) => texts[place]).join(", "), "note"), ...passage(row.prompt)];
    if (texts[row.reference]) example.push(make("p", "right answer", "note"), ...passage(row.reference));
    const line = document.createElement("tr");
    line.setAttribute("role", "row");
    for (const content of [example, reply(row, "before"), reply(row, "after")]) {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell");
      cell.append(...content);
      line.append(cell);
    }
    return line;
  }

  function render() {
    const among = found();
    for (const facet of facets) offer(facet, among);
    const matching = among.filter((row) => facets.every((facet) => chosen(row, facet)));
    const page = matching.slice(begin, begin + PAGE);
    const of = `${matching.length.toLocaleString("en")} pairs of replies`;
    status.textContent = page.length ? `${begin + 1} to ${begin + page.length} of ${of}` : "No pair of replies matches.";
    body.replaceChildren(...page.map(draw));
    button("previous").disabled = begin === 0;
    button("next").disabled = begin + PAGE >= matching.length;
    button("clear").disabled = !search.value && facets.every((facet) => facet.value === "");
  }

  function turn(step) {
    begin += step;
    render();
    status.focus();
    status.scrollIntoView(); // the new page is read from its top
  }

  function restart() {
    begin = 0;
    render();
  }

  for (const facet of facets) {
    const sizes = [...count(rows, facet.name).values()];
    facet.parentElement.hidden = sizes.every((size) => size === rows.length); // nothing to choose between
    facet.addEventListener("change", restart);
  }
  search.addEventListener("input", restart);
  button("previous").addEventListener("click", () => turn(-PAGE));
  button("next").addEventListener("click", () => turn(PAGE));
  button("clear").addEventListener("click", () => {
    search.value = "";
    for (const facet of facets) facet.value = "";
    restart();
    search.focus();
  });
  render();
  box.hidden = false;
})();
