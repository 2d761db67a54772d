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
