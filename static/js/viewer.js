// The film viewer: OpenSeadragon for zoom and pan, an SVG filter for the window, the heatmap as an overlay that nothing filters.
(() => {
  "use strict";

  const { WindowLevel, dragToWindow } = window.portal;
  const ZOOM_STEP = 1.3;
  const PAN_STEP = 0.08; // of what is visible
  const WINDOW_STEP = 8; // grey values of 256
  const FAINT = 24; // of 255; less is not seen on a film
  const MOST_ZOOM = 12; // screen pixels per film pixel

  // Whether a heatmap has anything to show: a film without findings stays clear, and a reader must not take that for a fault.
  function isClear(picture) {
    const canvas = document.createElement("canvas");
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] >= FAINT) return false;
    return true;
  }

  // OpenSeadragon adds a <style> element unless it finds one of its own; the policy on styles forbids it, and viewer.css has the rule.
  function forgoInlineStyle() {
    const inert = document.createElementNS("urn:inert", "style");
    inert.setAttribute("data-openseadragon-mobile-css", "true");
    document.head.append(inert);
  }

  class FilmViewer {
    // `kept`: what the viewer that this one replaces had on the screen.
    constructor(root, kept = null) {
      this.root = root;
      this.keptView = kept?.view;
      this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((node) => [node.dataset.part, node]));
      this.windowMode = false;
      this.overlay = null;
      this.film = this.makeFilm();
      this.windowLevel = new WindowLevel(root.querySelector("#film-filter"), (state) => this.showWindow(state));
      dragToWindow(this.parts.stage, this.windowLevel, () => this.windowMode);
      this.listen();
      if (kept) {
        this.windowLevel.set(kept.window);
        this.toggleWindowMode(kept.windowMode);
      }
    }

    makeFilm() {
      const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      const film = window.OpenSeadragon({
        element: this.parts.stage,
        drawer: "canvas",
        tileSources: { type: "image", url: this.root.dataset.film, buildPyramid: true },
        showNavigationControl: false,
        animationTime: still ? 0 : 0.35,
        maxZoomPixelRatio: MOST_ZOOM,
        minZoomImageRatio: 0.6,
        visibilityRatio: 0.35,
        gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: false },
        gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, flickEnabled: false, pinchRotate: false },
        gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
      });
      film.addHandler("open", () => this.opened());
      film.addHandler("open-failed", () => this.failed());
      film.addHandler("tile-load-failed", () => this.failed());
      film.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; });
      film.canvas.setAttribute("aria-label", "Film. Press ? for its keys.");
      film.canvas.setAttribute("role", "application");
      return film;
    }

    opened() {
      this.parts.problem.hidden = true;
      this.film.drawer.canvas.style.filter = "url(#film-filter)";
      const size = this.film.world.getItemAt(0).getContentSize();
      this.showFidelity(size.x, size.y);
      if (this.keptView) {
        this.film.viewport.zoomTo(this.keptView.zoom, null, true);
        this.film.viewport.panTo(this.keptView.center, true);
      }
      this.keptView = null;
      this.root.dataset.ready = "true";
    }

    // The film on the screen goes, because its result came: what the reader looked at is for the viewer that comes with it.
    leave() {
      const { viewport } = this.film;
      const view = this.film.isOpen() ? { zoom: viewport.getZoom(), center: viewport.getCenter() } : this.keptView;
      this.film.destroy();
      return { view, window: this.windowLevel.state, windowMode: this.windowMode };
    }

    failed() {
      this.parts.problem.hidden = false;
    }

    showFidelity(width, height) {
      const originalWidth = Number(this.root.dataset.width);
      const originalHeight = Number(this.root.dataset.height);
      const reduced = Math.max(width, height) < Math.max(originalWidth, originalHeight);
      this.parts.fidelity.textContent = reduced
        ? `Shown at ${width} × ${height} of ${originalWidth} × ${originalHeight} pixels.`
        : `Shown at full size, ${width} × ${height} pixels.`;
    }

    showWindow({ width, level, inverted }) {
      this.parts.width.value = width;
      this.parts.level.value = level;
      this.parts["width-value"].textContent = width;
      this.parts["level-value"].textContent = level;
      this.press("invert", inverted);
    }

    press(name, isPressed) {
      this.root.querySelector(`[data-do="${name}"]`)?.setAttribute("aria-pressed", String(isPressed));
    }

    zoom(factor) {
      this.film.viewport.zoomBy(factor);
      this.film.viewport.applyConstraints();
    }

    pan(x, y) {
      const bounds = this.film.viewport.getBounds(true);
      this.film.viewport.panBy(new window.OpenSeadragon.Point(x * bounds.width * PAN_STEP, y * bounds.height * PAN_STEP));
      this.film.viewport.applyConstraints();
    }

    fit() {
      this.film.viewport.goHome();
    }

    reset() {
      this.windowLevel.reset();
      this.toggleOverlay(false);
      this.toggleWindowMode(false);
      this.fit();
    }

    toggleWindowMode(on = !this.windowMode) {
      this.windowMode = on;
      this.root.classList.toggle("is-windowing", on);
      this.press("window-mode", on);
    }

    toggleOverlay(on = !this.overlay) {
      if (!this.root.dataset.heatmap || Boolean(this.overlay) === on) return;
      if (on) this.addOverlay();
      else {
        this.film.removeOverlay(this.overlay);
        this.overlay = null;
      }
      this.parts["overlay-tools"].hidden = !on;
      this.press("overlay", on);
    }

    addOverlay() {
      const picture = document.createElement("img");
      picture.className = "viewer-overlay";
      picture.alt = "Where the model looked, not where the disease is";
      picture.addEventListener("load", () => { this.parts["overlay-clear"].hidden = !isClear(picture); });
      picture.src = this.root.dataset.heatmap;
      this.overlay = picture;
      this.setOpacity();
      const bounds = this.film.world.getItemAt(0).getBounds();
      this.film.addOverlay({ element: picture, location: bounds });
    }

    setOpacity() {
      const percent = Number(this.parts.opacity.value);
      this.parts["opacity-value"].textContent = `${percent} %`;
      if (this.overlay) this.overlay.style.opacity = percent / 100;
    }

    reload() {
      this.parts.problem.hidden = true;
      this.film.open({ type: "image", url: this.root.dataset.film, buildPyramid: true });
    }

    listen() {
      const actions = this.actions();
      this.root.addEventListener("click", (event) => {
        const button = event.target.closest("[data-do]");
        if (button) actions[button.dataset.do]?.();
      });
      this.root.addEventListener("keydown", (event) => this.key(event, actions));
      this.parts.width.addEventListener("input", () => this.windowLevel.set({ width: Number(this.parts.width.value) }));
      this.parts.level.addEventListener("input", () => this.windowLevel.set({ level: Number(this.parts.level.value) }));
      this.parts.opacity?.addEventListener("input", () => this.setOpacity());
    }

    actions() {
      return {
        "zoom-in": () => this.zoom(ZOOM_STEP),
        "zoom-out": () => this.zoom(1 / ZOOM_STEP),
        fit: () => this.fit(),
        reset: () => this.reset(),
        invert: () => this.windowLevel.invert(),
        overlay: () => this.toggleOverlay(),
        "window-mode": () => this.toggleWindowMode(),
        help: () => this.parts.help.showModal(),
        "close-help": () => this.parts.help.close(),
        reload: () => this.reload(),
        narrower: () => this.windowLevel.shift({ width: -WINDOW_STEP }),
        wider: () => this.windowLevel.shift({ width: WINDOW_STEP }),
        lower: () => this.windowLevel.shift({ level: -WINDOW_STEP }),
        higher: () => this.windowLevel.shift({ level: WINDOW_STEP }),
        left: () => this.pan(-1, 0),
        right: () => this.pan(1, 0),
        up: () => this.pan(0, -1),
        down: () => this.pan(0, 1),
      };
    }

    key(event, actions) {
      if (event.ctrlKey || event.metaKey || event.altKey || this.parts.help.open) return;
      if (event.target.matches("input[type='range']") && event.key.startsWith("Arrow")) return;
      const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!name) return;
      event.preventDefault();
      event.stopPropagation();
      actions[name]();
    }
  }

  const KEYS = {
    "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", _: "zoom-out", "−": "zoom-out",
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    i: "invert", r: "reset", f: "fit", o: "overlay", w: "window-mode", "?": "help",
    "[": "narrower", "]": "wider", ";": "lower", "'": "higher",
  };

  function start(scope) {
    const root = scope.id === "viewer" ? scope : scope.querySelector?.("#viewer");
    if (!root || root.dataset.started) return;
    root.dataset.started = "true";
    window.portal.viewer = new FilmViewer(root, window.portal.viewer?.leave());
  }

  document.addEventListener("DOMContentLoaded", () => {
    forgoInlineStyle();
    start(document);
    document.body.addEventListener("htmx:load", (event) => start(event.target));
  });
})();
