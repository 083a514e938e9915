// What every page shares: the theme switch, menus that close, and one polite voice for screen readers.
(() => {
  "use strict";

  const YEAR_SECONDS = 31536000;
  const root = document.documentElement;

  // The server writes the theme into <html> from this cookie, so that no page flashes in the other one.
  function switchTheme() {
    const theme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    root.dataset.bsTheme = theme;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${theme}; path=/; max-age=${YEAR_SECONDS}; samesite=lax${secure}`;
    document.dispatchEvent(new CustomEvent("portal:theme", { detail: theme }));
  }

  function closeMenus(except) {
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (menu !== except) menu.open = false;
    });
  }

  // After a new log-in in another tab the forms of this one carry an old token: take the new one, and keep what was typed.
  async function refreshToken() {
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok || new URL(answer.url).pathname !== location.pathname) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("input[name='csrfmiddlewaretoken']");
    if (!fresh) return;
    document.querySelectorAll("input[name='csrfmiddlewaretoken']").forEach((field) => { field.value = fresh.value; });
  }

  // On a phone what is optional starts folded, unless it holds a complaint or a value.
  function foldDetails() {
    document.querySelectorAll("details[data-fold-narrow]").forEach((details) => {
      if (!details.querySelector(".errorlist") && !details.matches("[data-in-use]")) details.open = false;
    });
  }

  function announce(text) {
    const voice = document.getElementById("announcer");
    if (voice && text && voice.textContent !== text) voice.textContent = text;
  }

  function announceNews(node) {
    const news = node.matches?.("[data-announce]") ? node : node.querySelector?.("[data-announce]");
    if (news) announce(news.dataset.announce);
  }

  // A fragment that ended on the log-in page (401, or a redirect) must not be swapped in; say so instead, once.
  function catchLogout(event) {
    const { xhr, requestConfig } = event.detail;
    const isOurs = !xhr.responseURL || new URL(xhr.responseURL).pathname === new URL(requestConfig.path, location.href).pathname;
    if (xhr.status !== 401 && isOurs) return;
    event.detail.shouldSwap = false;
    if (requestConfig.elt.matches("[hx-trigger^='every']")) requestConfig.elt.remove();
    const notice = document.getElementById("logged-out");
    if (!notice.hidden) return;
    notice.hidden = false;
    announce(notice.textContent.trim());
  }

  function start() {
    root.classList.add("htmx-ready");
    if (window.matchMedia("(max-width: 62rem)").matches) foldDetails();
    document.querySelectorAll("[data-theme-toggle]").forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", switchTheme);
    });
    document.addEventListener("click", (event) => closeMenus(event.target.closest("details[data-menu]")));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      const open = document.querySelector("details[data-menu][open]");
      closeMenus(null);
      open?.querySelector("summary").focus();
    });
    document.body.addEventListener("htmx:beforeSwap", catchLogout);
    document.body.addEventListener("htmx:load", (event) => announceNews(event.target));
  }

  window.portal = { announce, refreshToken };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
