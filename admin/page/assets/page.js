// What the pages do with JavaScript, and all work without: copy, warn on leaving a value that was not
// copied, and preview while typing.
"use strict";

const select = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
};

// The value is gone from the page once it is left, whatever the browser keeps of it.
const value = document.getElementById("value");
let copied = !value;
if (value) {
  addEventListener("beforeunload", (event) => {
    if (!copied) event.preventDefault();
  });
  addEventListener("pagehide", () => value.replaceChildren());
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const from = document.getElementById(button.dataset.copy);
  const text = from.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    select(from);
    if (!document.execCommand("copy")) return;
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
  if (from === value) {
    copied = true;
    document.getElementById("copied").textContent = "Copied. Keep it where your program reads its secrets, never in its code.";
  }
});
// A copy by hand counts too.
document.addEventListener("copy", () => {
  if (value && getSelection().containsNode(value, true)) copied = true;
});

// The preview follows the form where it has a column of its own, so that nothing else moves.
const form = document.querySelector("form[data-live]");
if (form) {
  const wide = matchMedia("(min-width: 60.01rem)");
  let timer, request;
  const refresh = async () => {
    request?.abort();
    request = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "preview");
    try {
      const answer = await fetch("/new", { method: "POST", body, headers: { "X-Part": "preview" }, signal: request.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["preview", "verdict"]) {
        const part = page.getElementById(id);
        if (part) document.getElementById(id).replaceChildren(...part.childNodes);
      }
    } catch (error) {
      if (error.name !== "AbortError") console.warn("no preview", error);
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    if (wide.matches) timer = setTimeout(refresh, 350);
  });
}
