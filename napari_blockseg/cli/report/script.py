"""What a report does by itself: theme of the charts, classes that hide, axes that change.

A trace says in its ``meta`` which colors it has in which theme, which class it belongs to, and at
which moment of training it is shown.
"""

JS = """
(function () {
  "use strict";
  var THEMES = {
    light: {ink: "#20242a", muted: "#5b636e", line: "#d9dde3", card: "#f5f6f8"},
    dark: {ink: "#e6e9ed", muted: "#a3abb6", line: "#363c45", card: "#20242b"}
  };
  var PRINT_WIDTH = 680;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var hidden = {};
  var moments = {};

  function all(selector) {
    return Array.prototype.slice.call(document.querySelectorAll(selector));
  }
  function charts() { return all(".plotly-graph-div"); }
  function theme() { return dark.matches ? "dark" : "light"; }

  function paint(name) {
    var look = THEMES[name];
    charts().forEach(function (div) {
      var colors = div.data.map(function (trace) { return trace.meta[name]; });
      var fills = div.data.map(function (trace) { return trace.meta[name + "_fill"] || null; });
      var layout = {"font.color": look.ink, "hoverlabel.bgcolor": look.card,
        "hoverlabel.bordercolor": look.line, "hoverlabel.font.color": look.ink};
      Object.keys(div.layout).forEach(function (key) {
        if (/^[xy]axis/.test(key)) {
          layout[key + ".gridcolor"] = look.line;
          layout[key + ".linecolor"] = look.line;
          layout[key + ".tickfont.color"] = look.muted;
        }
      });
      Plotly.update(div, {"line.color": colors, "marker.color": colors, "fillcolor": fills},
        layout);
    });
  }

  function show() {
    charts().forEach(function (div) {
      var visible = div.data.map(function (trace) {
        var meta = trace.meta, group = moments[div.id];
        return !hidden[meta.label] && (!meta.moment || !group || meta.moment === group);
      });
      Plotly.restyle(div, {visible: visible});
    });
  }

  function press(button, siblings) {
    siblings.forEach(function (one) {
      one.setAttribute("aria-pressed", one === button ? "true" : "false");
    });
  }

  all("button[data-label]").forEach(function (button) {
    button.addEventListener("click", function () {
      var label = button.dataset.label;
      hidden[label] = !hidden[label];
      all("button[data-label]").forEach(function (other) {
        if (other.dataset.label === label) {
          other.setAttribute("aria-pressed", hidden[label] ? "false" : "true");
        }
      });
      show();
    });
  });
  all(".choice").forEach(function (group) {
    var buttons = Array.prototype.slice.call(group.querySelectorAll("button"));
    buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        press(button, buttons);
        group.dataset.charts.split(" ").forEach(function (id) {
          if (button.dataset.moment) { moments[id] = button.dataset.moment; }
          if (button.dataset.layout) {
            Plotly.relayout(document.getElementById(id), JSON.parse(button.dataset.layout));
          }
        });
        show();
      });
      if (button.dataset.moment && button.getAttribute("aria-pressed") === "true") {
        group.dataset.charts.split(" ").forEach(function (id) {
          moments[id] = button.dataset.moment;
        });
      }
    });
  });

  dark.addEventListener("change", function () { paint(theme()); });
  window.addEventListener("beforeprint", function () {
    paint("light");
    charts().forEach(function (div) { Plotly.relayout(div, {width: PRINT_WIDTH}); });
  });
  window.addEventListener("afterprint", function () {
    charts().forEach(function (div) { Plotly.relayout(div, {width: null, autosize: true}); });
    paint(theme());
  });
  show();
  paint(theme());
  // A chart was drawn before what stands beside it was there.
  charts().forEach(function (div) { Plotly.Plots.resize(div); });
}());
"""
