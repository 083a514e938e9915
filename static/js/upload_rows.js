// One row of the upload list: what it shows in each state. Texts are set as text, never as markup: a file name is a stranger's.
(() => {
  "use strict";

  const UNITS = ["bytes", "KB", "MB", "GB"];

  function formatSize(bytes) {
    const power = bytes > 0 ? Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), UNITS.length - 1) : 0;
    const value = bytes / 1024 ** power;
    return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
  }

  function iconOf(name) {
    const icons = document.getElementById("badge-icons").content;
    return icons.querySelector(`[data-icon="${name}"] svg`).cloneNode(true);
  }

  function tag(kind, text) {
    const span = document.createElement("span");
    span.className = `tag tag-${kind}`;
    span.append(iconOf(kind), text);
    return span;
  }

  function link(href, text) {
    const anchor = document.createElement("a");
    anchor.href = href;
    anchor.textContent = text;
    return anchor;
  }

  class FileRow {
    constructor(file, recordNumber, onRetry) {
      const row = document.getElementById("file-row").content.cloneNode(true).firstElementChild;
      this.element = row;
      this.parts = Object.fromEntries([...row.querySelectorAll("[data-part]")].map((node) => [node.dataset.part, node]));
      this.parts.name.textContent = file.name;
      this.parts.name.title = file.name;
      this.parts.size.textContent = [formatSize(file.size), recordNumber && `patient ${recordNumber}`].filter(Boolean).join(", ");
      this.parts.retry.setAttribute("aria-label", `Try again: ${file.name}`);
      this.parts.open.setAttribute("aria-label", `Open ${file.name}`);
      this.parts.progress.setAttribute("aria-label", `Upload of ${file.name}`);
      this.parts.retry.addEventListener("click", onRetry);
    }

    sending(fraction) {
      this.parts.progress.hidden = false;
      this.parts.progress.value = Math.round(100 * fraction);
      this.parts.state.textContent = fraction < 1 ? `Sending, ${Math.floor(100 * fraction)} %` : "Checking the file";
      this.parts.retry.hidden = true;
      this.parts.message.hidden = true;
    }

    waiting() {
      this.sending(0);
      this.parts.state.textContent = "Waiting to be sent";
    }

    // The portal takes no more just now; the page sends the file again by itself
    paused(message) {
      this.waiting();
      this.parts.state.textContent = "Waiting: too many films at once";
      this.message(`${message} This page does it by itself.`);
    }

    // Until the live poll swaps the badge for the result
    accepted(answer) {
      this.parts.progress.hidden = true;
      this.parts.state.replaceChildren(this.badge(answer));
      this.parts.open.href = answer.url;
      this.parts.open.hidden = false;
      if (answer.duplicate) {
        this.message(answer.duplicate.message, "copy", link(answer.duplicate.url, "Open the earlier case"));
      }
    }

    badge(answer) {
      const badge = document.createElement("span");
      badge.id = `badge-${answer.id}`;
      const watched = document.createElement("input");
      Object.assign(watched, { type: "hidden", className: "live", name: "w", value: `${answer.id}~` });
      badge.append(tag("queued", "Waiting for analysis"), watched);
      return badge;
    }

    refused(message, code) {
      this.parts.progress.hidden = true;
      this.parts.state.replaceChildren(tag("refused", "Not accepted"));
      const codeElement = document.createElement("code");
      codeElement.textContent = code;
      this.message(message, "", codeElement);
    }

    // Nothing was saved and the same file may be sent again
    interrupted(message, code = "") {
      this.refused(message, code);
      this.parts.state.replaceChildren(tag("refused", "Not uploaded"));
      this.parts.retry.hidden = false;
    }

    message(text, icon, ...more) {
      const nodes = icon ? [iconOf(icon)] : [];
      this.parts.message.replaceChildren(...nodes, text, ...more);
      this.parts.message.hidden = false;
      window.portal.announce(`${this.parts.name.textContent}: ${text}`);
    }
  }

  window.portal = window.portal || {};
  window.portal.FileRow = FileRow;
  window.portal.formatSize = formatSize;
})();
