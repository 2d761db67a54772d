"""The look and the behaviour of the page: light, dark, on a phone, on paper."""

from __future__ import annotations

STYLE = """
:root { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae1; --box: #f4f6f8;
  --link: #1d5fa3; --mark: #d9691e }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e8ed;
  --soft: #a3adb8; --line: #343c46; --box: #1d232a; --link: #7db5ea; --mark: #ec8b4a } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 4vw, 2.5rem) 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere }
h2 { font-size: 1.25rem; margin: 0 0 .8rem }
header p { color: var(--soft); margin: 0; overflow-wrap: anywhere }
a { color: var(--link) }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0;
  margin: 1rem 0 0; font-size: .92rem }
section { border-top: 1px solid var(--line); margin-top: 1.6rem; padding-top: 1.3rem }
.parts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  gap: .9rem 1.4rem; align-items: start }
.parts > * { grid-column: 1 / -1; min-width: 0; margin: 0 }
.parts > figure.small { grid-column: auto }
p { max-width: 48rem }
.verdict { font-size: 1.15rem; font-weight: 600; border-left: 4px solid var(--mark);
  padding-left: .8rem }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left;
  overflow-wrap: anywhere }
caption { padding-bottom: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .94rem }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line) }
thead th { color: var(--soft); font-weight: 500 }
tbody th { font-weight: 500 }
td, tbody th { overflow-wrap: break-word; max-width: 40rem }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px;
  padding: .7rem .9rem; overflow-x: auto; margin: .3rem 0; font-size: .86rem; line-height: 1.45 }
code { font-family: ui-monospace, monospace; font-size: .93em; overflow-wrap: anywhere }
pre code { overflow-wrap: normal; font-size: 1em }
summary { cursor: pointer; color: var(--soft); font-size: .92rem }
.plot { width: 100% }
.across { overflow-x: auto }
.parcoords .axis .domain, .parcoords .axis line { stroke: var(--soft) !important }
.parcoords text { text-shadow: none !important }
@page { margin: 15mm 14mm }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --box: #f6f6f6;
    --link: #000; --mark: #d9691e }
  body { font-size: 11pt; max-width: none; padding: 0 }
  nav { display: none }
  figure, tr { break-inside: avoid }
  figure:has(pre) { break-inside: auto }
  .scroll:not(:has(tr:nth-child(20))) { break-inside: avoid }
  h2 { break-after: avoid }
  pre { white-space: pre-wrap; overflow-wrap: anywhere }
}
"""

SCRIPT = """
'use strict';
const plots = [...document.querySelectorAll('.plot')];
const dark = matchMedia('(prefers-color-scheme: dark)');
const PAPER = 660, AXES = 84;
function colours(layout, isDark) {
  const ink = isDark ? '#d3d9e0' : '#24292f', line = isDark ? '#5b6672' : '#8a939e';
  const patch = {'font.color': ink};
  for (const key of Object.keys(layout))
    if (/^[xy]axis/.test(key)) patch[key + '.linecolor'] = line;
  return patch;
}
function paint(div, isDark, more) {
  const patch = colours(div.layout, isDark);
  if (div.data[0] && div.data[0].type === 'heatmap')
    Plotly.restyle(div, {'textfont.color': patch['font.color']});
  return Plotly.relayout(div, {...patch, ...more});
}
async function draw(div) {
  const spec = JSON.parse(div.nextElementSibling.textContent), layout = spec.layout;
  const parallel = spec.data.find(trace => trace.type === 'parcoords');
  if (parallel) {
    const least = parallel.dimensions.length * AXES;
    if (div.clientWidth < least) {
      div.parentNode.classList.add('across');
      div.style.width = least + 'px';
    }
  }
  const options = {responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d']};
  await Plotly.newPlot(div, spec.data, layout, options);
  return paint(div, dark.matches, {});
}
function all(change) { for (const div of plots) if (div.layout) change(div); }
(async () => { for (const div of plots) try { await draw(div); } catch (error) {
  div.textContent = 'This figure cannot be drawn here: ' + error; } })();
dark.addEventListener('change', () =>
  all(div => paint(div, dark.matches, {})));
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const each of folded) each.open = true;
  all(div => {
    const small = div.parentNode.classList.contains('small');
    const width = small ? PAPER / 2 - 20 : PAPER;
    paint(div, false, {width});
  });
});
addEventListener('afterprint', () => {
  for (const each of folded) each.open = false;
  const back = {width: null, autosize: true};
  all(div => paint(div, dark.matches, back));
});
"""
