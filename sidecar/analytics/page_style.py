"""The report page's style sheet. Light and dark differ in the variables only; widths decide the columns."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b2330; --quiet: #5b6575; --line: #dde2ea; --grid: #e8ecf2;
  --note: #fff6e0; --note-line: #e6c66a;
  --answered: #2f6fde; --failed: #d64545; --cost: #0b8a7a; --time: #7a4fd0; --slow: #c3a6f5; --stand-in: #c77700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10141b; --card: #181e28; --text: #e7ebf2; --quiet: #9aa6b8; --line: #2b3443; --grid: #262e3b;
    --note: #2a2413; --note-line: #6d5a20;
    --answered: #6ba2ff; --failed: #ff7b7b; --cost: #3cc9b4; --time: #b18cff; --slow: #8468cc; --stand-in: #f0a742;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1160px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 36px 0 12px; }
h3 { font-size: 14px; font-weight: 600; margin: 0; }
p { margin: 0; }
.quiet { color: var(--quiet); }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(4, 1fr); margin-top: 24px; }
.tile, .plot-card, .table-card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 16px; }
.tile .figure { display: block; font-size: 24px; font-weight: 650; line-height: 1.25; letter-spacing: -0.01em; }
.tile .name { display: block; color: var(--quiet); font-size: 13px; }
.tile .more { display: block; color: var(--quiet); font-size: 12.5px; overflow-wrap: anywhere; }
.plots { display: grid; gap: 12px; grid-template-columns: repeat(2, minmax(0, 1fr)); }
.plot-card { margin: 0; padding: 14px 14px 10px; }
.plot-card figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline; margin-bottom: 8px; }
.legend { display: inline-flex; align-items: center; gap: 6px; color: var(--quiet); font-size: 12.5px; }
.legend::before { content: ""; width: 10px; height: 10px; border-radius: 2px; background: var(--series); }
.none { color: var(--quiet); padding: 20px 0 26px; text-align: center; font-size: 14px; }
.chart { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { fill: var(--quiet); font-size: 13px; font-family: inherit; }
.chart .background { fill: none; }
.chart .line { stroke: var(--grid); fill: none; }
.chart .axis.x text { text-anchor: middle; }
.chart .axis.y text { text-anchor: end; }
.chart .vertical .axis.x .line, .chart .horizontal .axis.y .line { stroke: none; }
.chart .horizontal .axis.y text { fill: var(--text); }
.chart .horizontal .axis.x .line { stroke: none; }
.chart .text-overlay text { fill: var(--text); text-anchor: start; }
.chart .series { fill: var(--series); stroke: none; }
.chart .series path.line { stroke: var(--series); stroke-width: 2; stroke-linejoin: round; }
.chart .bar:hover rect, .chart .dot:hover { opacity: 0.75; }
.table-card { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 8px 10px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--quiet); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 16px; }
tbody th { font-weight: 500; }
.under { display: block; color: var(--quiet); font-weight: 400; font-size: 12.5px; line-height: 1.3; }
.notes { background: var(--note); border: 1px solid var(--note-line); border-radius: 10px;
  padding: 12px 16px 12px 34px; }
.notes, .empty { margin: 24px 0 0; }
footer { margin-top: 36px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 13px; }
@media (max-width: 860px) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .plots { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 480px) {
  main { padding: 18px 12px 32px; }
  h1 { font-size: 22px; }
  .tile { padding: 11px 12px; }
  .tile .figure { font-size: 20px; }
  .chart text { font-size: 16px; }
  .chart .horizontal text { font-size: 15px; }
  tbody th { min-width: 9.5em; max-width: 44vw; white-space: normal; overflow-wrap: anywhere; }
  .plot-card { padding: 12px 10px 8px; }
}
@media print { body { background: none; } .tile, .plot-card, .table-card { break-inside: avoid; } }
"""
