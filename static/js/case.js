// The case page: a note that is being written is never lost without a word.
(() => {
  "use strict";

  let unsaved = false;

  function formOf(event) {
    return event.target.closest?.("form[data-unsaved]");
  }

  document.addEventListener("input", (event) => {
    if (formOf(event)) unsaved = true;
  });

  document.addEventListener("submit", (event) => {
    if (formOf(event)) unsaved = false;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const form = formOf(event);
    if (!form) return;
    const arrived = event.detail.xhr && (event.detail.successful || event.detail.xhr.status === 422);
    unsaved = !event.detail.successful;
    const problem = form.querySelector("[data-part='problem']");
    if (problem) problem.hidden = Boolean(arrived);
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
})();
