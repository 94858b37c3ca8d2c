"""How a report looks: light and dark, on a phone, on paper. No file and no font is fetched."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f5f6f8; --ink: #20242a; --muted: #5b636e; --line: #d9dde3;
  --accent: #0061a8; --warn: #8a5200; --hatch: rgba(90, 98, 110, .16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16191e; --card: #20242b; --ink: #e6e9ed; --muted: #a3abb6; --line: #363c45;
    --accent: #6cb6f5; --warn: #f0b35a; --hatch: rgba(200, 208, 220, .16);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word;
}
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: .2rem 0 .8rem; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul, dl, table, figure { margin: .6rem 0; }
p, li { max-width: 46rem; }
.kicker, .muted, figcaption, .caption { color: var(--muted); }
.kicker { margin: 0; font-size: .95rem; }
.lead { font-size: 1.15rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; }
.tiles > div {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .7rem .9rem;
}
.tiles dt { color: var(--muted); font-size: .85rem; }
.tiles dd { margin: 0; }
.tiles dd b { display: block; font-size: 1.5rem; line-height: 1.3; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: 1rem; }
.strip figure { margin: 0; }
.strip img {
  display: block; width: 100%; height: auto; image-rendering: pixelated;
  border: 1px solid var(--line); border-radius: .25rem;
}
.strip .best img { outline: 3px solid var(--accent); outline-offset: 2px; }
.strip figcaption { font-size: .85rem; line-height: 1.4; margin-top: .45rem; }
.strip figcaption b { color: var(--ink); display: block; }
.chips { display: flex; flex-wrap: wrap; gap: .4rem; margin: .6rem 0; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; max-width: none; }
button {
  font: inherit; font-size: .9rem; color: var(--ink); background: var(--card); cursor: pointer;
  border: 1px solid var(--line); border-radius: 1rem; padding: .15rem .7rem;
}
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.chips button[aria-pressed="false"] { opacity: .5; text-decoration: line-through; }
.choice { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: .4rem 0; }
.choice button[aria-pressed="true"] {
  background: var(--accent); border-color: var(--accent); color: var(--paper);
}
.swatch {
  display: inline-block; width: .85em; height: .85em; border-radius: .2em; margin-right: .4em;
  vertical-align: -.06em; border: 1px solid var(--line);
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.caption { font-size: .9rem; margin-bottom: .3rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th[scope="row"] { text-align: left; font-weight: 500; min-width: 7rem; }
thead th:first-child { text-align: left; }
thead th { vertical-align: bottom; white-space: nowrap; }
th.best, td.best { box-shadow: inset 2px 0 var(--accent), inset -2px 0 var(--accent); }
th.best { color: var(--accent); }
td.lost {
  color: var(--muted);
  background: repeating-linear-gradient(135deg, transparent 0 5px, var(--hatch) 5px 8px);
}
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.pair > div { min-width: 0; }
.chart { margin: .5rem 0; min-height: 20rem; }
.warn { border-left: 4px solid var(--warn); padding-left: .8rem; }
dl.sizes { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; }
dl.sizes dt { font-weight: 600; }
dl.sizes dd { margin: 0; }
footer {
  margin-top: 3rem; border-top: 1px solid var(--line); color: var(--muted); font-size: .9rem;
}
code { font-family: ui-monospace, Consolas, Menlo, monospace; font-size: .92em; }
@media (max-width: 30rem) {
  body { padding: 1rem .8rem 3rem; }
  table { font-size: .88rem; }
  th, td { padding: .25rem .35rem; }
  thead th { white-space: normal; }
  th[scope="row"] { min-width: 5.5rem; }
  .strip { grid-template-columns: repeat(2, 1fr); gap: .7rem; }
  .tiles { grid-template-columns: 1fr; }
  dl.sizes { grid-template-columns: 1fr; gap: 0; }
  dl.sizes dd { margin-bottom: .6rem; }
}
@page { margin: 15mm; }
@media print {
  :root {
    --paper: #ffffff; --card: #f5f6f8; --ink: #20242a; --muted: #5b636e; --line: #d9dde3;
    --accent: #0061a8; --warn: #8a5200; --hatch: rgba(90, 98, 110, .16);
  }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  .choice { display: none; }
  .strip { grid-template-columns: repeat(5, 1fr); gap: .5rem; }
  .strip figcaption { font-size: .7rem; }
  h2, h3 { break-after: avoid; }
  figure, .chart, tr, .tiles > div { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
