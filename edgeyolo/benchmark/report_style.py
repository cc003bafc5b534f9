"""How the HTML report looks: light and dark, wide and on a phone, without anything from outside."""

CSS = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --card: #f4f5f7; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0;
  --one: #4477aa; --two: #228833; --three: #cc6677; --warn: #9a6700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #0f1318; --card: #1a2027; --ink: #e6e9ee; --soft: #9aa5b1; --line: #343d47;
    --one: #77aadd; --two: #5fc27e; --three: #ee99aa; --warn: #e3b341;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; margin: .2rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p { margin: .4rem 0; }
.soft { color: var(--soft); font-size: .875rem; }
.warn { border-left: 4px solid var(--warn); padding: .3rem .7rem; background: var(--card); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td {
  padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  overflow-wrap: normal;
}
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tbody th:first-child { white-space: nowrap; }
tbody th { color: var(--ink); vertical-align: middle; }
.number {
  display: inline-block; min-width: 1.5em; text-align: center; border-radius: 1em;
  background: var(--one); color: var(--back); font-size: .8em; font-weight: 600;
}
.bars { display: grid; gap: .7rem; }
.bar { display: flex; height: 1.3rem; background: var(--card); }
.bar span { display: block; height: 100%; min-width: 1px; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .8em; }
.one { background: var(--one); } .two { background: var(--two); }
.three { background: var(--three); }
svg { display: block; width: 100%; max-width: 34rem; height: auto; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .full { fill: var(--one); stroke: var(--one); }
svg .hollow { fill: var(--back); stroke: var(--one); stroke-width: 1.5; }
svg .label { font-weight: 600; }
.pictures {
  display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
}
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; border-radius: 4px; }
figcaption { font-size: .875rem; color: var(--soft); }
@media (max-width: 62rem) {
  .stacked thead { display: none; }
  .stacked tr { display: block; margin-bottom: .8rem; background: var(--card); padding: .5rem; }
  .stacked th, .stacked td {
    display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem .3rem;
  }
  .stacked tbody th:first-child { white-space: normal; }
  .stacked td::before { content: attr(data-name); color: var(--soft); text-align: left; }
}
"""
