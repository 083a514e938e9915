// Says in words what allauth's passkey script reports only to the console.
(() => {
  const say = (text) => {
    for (const place of document.querySelectorAll("[data-passkey-problem]")) {
      place.querySelector("[data-passkey-text]").textContent = text;
      place.hidden = false;
    }
  };

  const explain = (error) => {
    if (error.name === "NotAllowedError") return "The passkey was not used: the request was cancelled or took too long.";
    if (error.name === "InvalidStateError") return "This passkey has been added already.";
    if (error.name === "SecurityError") return "Passkeys need a host name: open the portal by its name, not by a number such as 127.0.0.1.";
    return "The passkey could not be used. Try again, or log in another way.";
  };

  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    say(explain(event.detail.exception));
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (window.PublicKeyCredential) return;
    for (const button of document.querySelectorAll("[data-needs-passkeys]")) button.disabled = true;
  });
})();
