// Window and level as an exact linear transfer. CSS brightness() and contrast() round and clip at every step; one SVG
// feComponentTransfer does not: out = slope * in + intercept on each channel, clipped once, at the end.
(() => {
  "use strict";

  const DEFAULTS = Object.freeze({ width: 255, level: 128, inverted: false });
  const LIMITS = Object.freeze({ width: [2, 510], level: [0, 255] });

  function clamp(value, [low, high]) {
    return Math.min(high, Math.max(low, Math.round(value)));
  }

  // Grey values 0 to 255 become 0 to 1: the level maps to one half, level ± width / 2 to white and black.
  function transfer({ width, level, inverted }) {
    if (width === DEFAULTS.width && level === DEFAULTS.level) return inverted ? [-1, 1] : [1, 0];
    const slope = 255 / width;
    const intercept = 0.5 - (slope * level) / 255;
    return inverted ? [-slope, 1 - intercept] : [slope, intercept];
  }

  class WindowLevel {
    constructor(filter, onChange) {
      this.functions = [...filter.querySelectorAll("feFuncR, feFuncG, feFuncB")];
      this.onChange = onChange;
      this.reset();
    }

    set(changes) {
      const next = { ...this.state, ...changes };
      next.width = clamp(next.width, LIMITS.width);
      next.level = clamp(next.level, LIMITS.level);
      this.state = next;
      const [slope, intercept] = transfer(next);
      this.functions.forEach((node) => {
        node.setAttribute("slope", slope.toFixed(6));
        node.setAttribute("intercept", intercept.toFixed(6));
      });
      this.onChange(next);
    }

    shift({ width = 0, level = 0 }) {
      this.set({ width: this.state.width + width, level: this.state.level + level });
    }

    invert() {
      this.set({ inverted: !this.state.inverted });
    }

    reset() {
      this.set({ ...DEFAULTS });
    }
  }

  // Dragging with the right button, with Shift, or in window mode. Caught on the way down, so that the film stays where it is.
  function dragToWindow(stage, windowLevel, isWindowMode) {
    let start = null;

    function wants(event) {
      if (event.button === 2) return true;
      return event.button === 0 && event.isPrimary && (event.shiftKey || isWindowMode());
    }

    stage.addEventListener("pointerdown", (event) => {
      if (!wants(event) || event.target.closest("button")) return;
      event.stopPropagation();
      start = { x: event.clientX, y: event.clientY, id: event.pointerId, ...windowLevel.state };
      stage.setPointerCapture(event.pointerId);
    }, true);
    stage.addEventListener("pointermove", (event) => {
      if (!start || event.pointerId !== start.id) return;
      event.stopPropagation();
      // From where the drag began: summing small steps would sum their rounding
      windowLevel.set({ width: start.width + event.clientX - start.x, level: start.level + event.clientY - start.y });
    }, true);
    ["pointerup", "pointercancel"].forEach((name) => stage.addEventListener(name, (event) => {
      if (!start || event.pointerId !== start.id) return;
      event.stopPropagation();
      start = null;
    }, true));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  window.portal = window.portal || {};
  window.portal.WindowLevel = WindowLevel;
  window.portal.dragToWindow = dragToWindow;
})();
