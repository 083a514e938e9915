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
    const { xhr, requestConfig } = event.detail;
    const isOurs = xhr?.responseURL && new URL(xhr.responseURL).pathname === requestConfig.path;
    const arrived = isOurs && (event.detail.successful || xhr.status === 422);
    unsaved = !(arrived && event.detail.successful);
    const problem = form.querySelector("[data-part='problem']");
    if (problem) problem.hidden = Boolean(arrived);
    if (!arrived) window.portal.refreshToken();
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
})();
