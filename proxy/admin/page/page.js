'use strict';
// The status page. It asks for what it shows, every two seconds while somebody looks, and writes text from outside by textContent
// alone. Rows are kept from one reading to the next by their keys, so that focus and selection stay where they are.

const EVERY = 2000;     // ms between two readings
const PATIENCE = 8000;  // ms until a reading has failed
const WINDOW = 10;      // s that rates are of
const MOST_IN_PICTURE = 8;

const $ = (id) => document.getElementById(id);
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const setClass = (node, name) => { if (node.className !== name) node.className = name; };
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

// Words and numbers.

function span(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0) return 'over';
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[first];
  let text = Math.floor(seconds / size) + ' ' + name;
  const next = units[first + 1];
  const rest = next ? Math.floor(seconds % size / next[1]) : 0;
  if (rest > 0) text += ' ' + rest + ' ' + next[0];
  return text;
}

function brief(seconds) {  // of an answer
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0.001) return Math.round(seconds * 1e6) + ' µs';
  if (seconds < 1) return (seconds * 1000).toPrecision(seconds < 0.1 ? 2 : 3) + ' ms';
  return seconds.toPrecision(2) + ' s';
}

function bytes(count) {
  if (count < 1000) return Math.round(count) + ' B';
  for (const unit of ['kB', 'MB', 'GB', 'TB']) {
    count /= 1000;
    if (count < 999.5 || unit === 'TB') return (count < 10 ? count.toFixed(1) : Math.round(count)) + ' ' + unit;
  }
}

const number = (count) => count.toLocaleString('en-US', {maximumFractionDigits: 0});
const perSecond = (rate) => rate === 0 ? '0' : rate < 10 ? rate.toFixed(1) : number(rate);
const many = (count, one, more) => number(count) + ' ' + (count === 1 ? one : more);

// Tables. A column is {head, number, wide, show(row)}; show gives a text, or a list of lines, each a text or [class, text].

function fill(cell, shown) {
  const lines = Array.isArray(shown) ? shown : [shown];
  while (cell.children.length > lines.length) cell.lastElementChild.remove();
  lines.forEach((line, i) => {
    const [name, text] = Array.isArray(line) ? line : ['', line];
    const isMark = name.startsWith('mark');
    let at = cell.children[i];
    if (!at) cell.append(at = make('div'));
    if (isMark !== (at.firstElementChild !== null)) {
      at.textContent = '';
      if (isMark) at.append(make('span'));
    }
    setClass(isMark ? at.firstElementChild : at, name);
    set(isMark ? at.firstElementChild : at, text);
  });
}

const kindOf = (column) => column.number ? 'n' : column.wide ? 'wide' : '';

class Table {
  constructor(holder, caption, columns, keyOf, nothing) {
    Object.assign(this, {columns, keyOf, rows: new Map()});
    this.table = make('table');
    this.table.setAttribute('role', 'table');
    this.caption = make('caption', '', caption);
    const head = make('thead');
    const row = make('tr');
    row.setAttribute('role', 'row');
    for (const column of columns) {
      const cell = make('th', kindOf(column), column.head);
      cell.scope = 'col';
      cell.setAttribute('role', 'columnheader');
      row.append(cell);
    }
    head.setAttribute('role', 'rowgroup');
    head.append(row);
    this.body = make('tbody');
    this.body.setAttribute('role', 'rowgroup');
    this.table.append(this.caption, head, this.body);
    this.nothing = make('p', 'none', nothing);
    holder.replaceChildren(this.table, this.nothing);
    this.show([]);
  }

  show(list, nothing) {
    if (nothing) set(this.nothing, nothing);
    this.table.hidden = list.length === 0;
    this.nothing.hidden = list.length > 0;
    const seen = new Set();
    list.forEach((item, place) => {
      const key = this.keyOf(item);
      seen.add(key);
      let row = this.rows.get(key);
      if (!row) {
        row = make('tr');
        row.setAttribute('role', 'row');
        this.columns.forEach((column, i) => {
          const cell = make(i === 0 ? 'th' : 'td', kindOf(column));
          if (i === 0) cell.scope = 'row';
          cell.setAttribute('role', i === 0 ? 'rowheader' : 'cell');
          cell.dataset.head = column.head;
          cell.append(make('div', 'cell'));
          row.append(cell);
        });
        this.rows.set(key, row);
      }
      if (this.body.children[place] !== row) this.body.insertBefore(row, this.body.children[place] || null);
      this.columns.forEach((column, i) => {
        fill(row.children[i].firstElementChild, column.show(item));
        if (column.hot) row.children[i].classList.toggle('hot', column.hot(item));
      });
    });
    for (const [key, row] of this.rows) {
      if (!seen.has(key)) { row.remove(); this.rows.delete(key); }
    }
  }
}

// A search field, a sort order and a pager that together ask for a part of a long list.
class Part {
  constructor(name, limit) {
    Object.assign(this, {limit, offset: 0, sort: $(name + '-sort'), match: $(name + '-match')});
    const pager = $(name + '-pager');
    this.text = make('span', 'quiet');
    this.before = make('button', '', 'Back');
    this.after = make('button', '', 'Next');
    for (const [button, label, step] of [[this.before, 'Back in ', -limit], [this.after, 'Next of ', limit]]) {
      button.type = 'button';
      button.setAttribute('aria-label', label + $('h-' + name).textContent);
      button.addEventListener('click', () => {
        if (button.getAttribute('aria-disabled') === 'true') return;
        this.offset = Math.max(0, this.offset + step);
        readSoon(0);
      });
    }
    pager.append(this.text, this.before, this.after);
    $('f-' + name).addEventListener('submit', (event) => { event.preventDefault(); readSoon(0); });
    const restart = (delay) => () => { this.offset = 0; readSoon(delay); };
    this.match.addEventListener('input', restart(250));
    if (this.sort) this.sort.addEventListener('change', restart(0));
  }
  query() {
    const query = {offset: this.offset, limit: this.limit};
    if (this.match.value) query.match = this.match.value;
    if (this.sort) query.sort = this.sort.value;
    return query;
  }
  // took: the answer has so many of so many that matched.
  took(count, matched, total) {
    if (count === 0 && this.offset > 0 && matched > 0) { this.offset = 0; readSoon(0); }
    const all = matched === total ? number(total) : number(matched) + ' found of ' + number(total);
    set(this.text, count === 0 ? all : `${number(this.offset + 1)}–${number(this.offset + count)} of ${all}`);
    this.enable(this.before, this.offset > 0);
    this.enable(this.after, this.offset + count < matched && this.offset + this.limit <= 2000);
    const pages = this.offset > 0 || count < matched || this.before === document.activeElement || this.after === document.activeElement;
    this.before.hidden = this.after.hidden = !pages;
  }
  // Not `disabled`: a button that has the focus keeps it.
  enable(button, on) { button.setAttribute('aria-disabled', String(!on)); }
}

const line = (text, under) => under ? [text, ['under', under]] : [text];
const mark = (kind, text) => ['mark ' + kind, text];

const pairs = new Table($('talk'), 'Pairs of services; rates are of the last ten seconds, times of answers are estimates', [
  {head: 'From', show: (p) => line(p.flow.source || '–')},
  {head: 'To', show: (p) => line(p.flow.destination || '–', p.flow.datacenter)},
  {head: 'Direction', show: (p) => p.flow.direction},
  {head: 'Open', number: true, show: (p) => number(p.flow.open)},
  {head: 'New/s', number: true, show: (p) => line(perSecond(p.opened), number(p.flow.opened) + ' in all')},
  {head: 'Requests/s', number: true, show: (p) => line(perSecond(p.requests))},
  {head: 'From client', number: true, show: (p) => line(bytes(p.in) + '/s', bytes(p.flow.bytes_in))},
  {head: 'To client', number: true, show: (p) => line(bytes(p.out) + '/s', bytes(p.flow.bytes_out))},
  {head: 'Failed', number: true, hot: (p) => p.failed > 0,
    show: (p) => [number(p.flow.failed), ...failures(p.flow).map((text) => ['under', text])]},
  {head: 'Answers, p50', number: true, show: (p) => line(brief(p.p50), p.p99 === null ? '' : 'p99 ' + brief(p.p99))},
], (p) => keyOf(p.flow), 'Nobody has talked to anybody yet.');

const ORDINARY = new Set(['done', 'tls_truncated', 'reset', 'idle_timeout', 'drained', 'drain_timeout', 'max_connection_age', 'departed', 'probe']);
const failures = (flow) => Object.entries(flow.closed).filter(([reason]) => !ORDINARY.has(reason))
    .sort((a, b) => b[1] - a[1]).slice(0, 2).map(([reason, count]) => reason + ' ' + number(count));

const refused = new Table($('refused'), 'Newest first, with what decided', [
  {head: 'When', show: (r) => line(clockOf(r.time))},
  {head: 'From', show: (r) => line(r.source || '–', r.peer)},
  {head: 'To', show: (r) => line(r.destination || '–', r.direction === 'outbound' ? r.endpoint : '')},
  {head: 'Reason', show: (r) => [mark('bad', r.reason || '–'), ['under', r.direction]]},
  {head: 'Decided by', wide: true, show: (r) => line(r.decided_by || '–', r.detail && r.detail !== r.decided_by ? r.detail : '')},
], (r) => r.id + ' ' + r.time, 'None that is remembered.');

const upstreams = new Table($('upstreams'), 'Those in trouble come first', [
  {head: 'Upstream', wide: true, show: (u) => [...line(u.name, [listens(u), u.catalog.select && 'tag ' + u.catalog.select.tag,
    u.catalog.departed.length && number(u.catalog.departed.length) + ' left'].filter(Boolean).join(' · ')), ...limitLines(u.limits)]},
  {head: 'State', show: (u) => u.trouble ? [mark('fair', 'in trouble'), ['under', u.trouble]] : [mark('good', 'ok')]},
  {head: 'Endpoints', wide: true, show: (u) => u.endpoints.length ? u.endpoints.flatMap(endpointLines)
      .concat(u.endpoint_count > u.endpoints.length ? [['under', 'and ' + number(u.endpoint_count - u.endpoints.length) + ' more']] : []) : '–'},
  {head: 'Proves to be', wide: true, show: (u) => u.spiffe_id || 'not known yet'},
  {head: 'Last confirmed', show: (u) => u.watch ? line(ago(u.watch.age_seconds), u.watch.last_error) : 'from the file'},
], (u) => u.listener, 'This service calls nobody.');

function listens(u) {
  if (!u.address) return 'not listening';
  return 'at ' + u.address + (u.refuses ? ', refuses for ' + span(u.refuses.seconds) : '');
}

// limitLines: a limit by number of connections, where one is set.
function limitLines(limits) {
  return (limits || []).map((l) => ['under', `${l.limit} ${number(l.used)} of ${number(l.most)}` +
      (l.refused ? ', ' + number(l.refused) + ' refused' : '') + (l.identity ? ', most by ' + l.identity : '')]);
}

function endpointLines(e) {
  const kind = {ok: 'good', failing: 'bad', ejected: 'bad', probation: 'fair'}[e.state] || 'plain';
  const facts = [];
  if (e.instance) facts.push(e.instance.node + '/' + e.instance.id);
  if (e.state_seconds !== null) facts.push('for ' + span(e.state_seconds));
  if (e.ejected_seconds_left !== null) facts.push(span(e.ejected_seconds_left) + ' more');
  if (e.nearness !== 'far') facts.push('own ' + e.nearness);
  facts.push(many(e.in_flight, 'connection', 'connections'));
  if (e.connect_seconds !== null) facts.push('connects in ' + brief(e.connect_seconds));
  if (e.failures) facts.push(number(e.failures) + ' of ' + number(e.attempts) + ' attempts failed');
  if (e.ejections) facts.push(many(e.ejections, 'ejection', 'ejections'));
  if (e.last_failure) facts.push('last: ' + e.last_failure.reason + ' ' + ago(e.last_failure.seconds_ago));
  return [mark(kind, e.address + ' ' + e.state), ['under', facts.join(' · ')]];
}

const live = new Table($('live'), 'As they are now', [
  {head: 'ID', show: (c) => String(c.id)},
  {head: 'From', show: (c) => line(c.source || 'not proven', c.peer)},
  {head: 'To', show: (c) => line(c.destination || '–', [c.endpoint, c.instance && c.instance.node + '/' + c.instance.id].filter(Boolean).join(' · '))},
  {head: 'State', show: (c) => [mark({relaying: 'good', draining: 'fair', refusing: 'bad'}[c.state] || 'plain', c.state), ['under', c.direction]]},
  {head: 'Age', number: true, show: (c) => line(span(c.age_seconds), c.idle_seconds === null ? '' : 'idle ' + span(c.idle_seconds))},
  {head: 'From client', number: true, show: (c) => bytes(c.bytes_in)},
  {head: 'To client', number: true, show: (c) => bytes(c.bytes_out)},
  {head: 'TLS', show: (c) => c.tls ? line(c.tls.version + (c.tls.resumed ? ', resumed' : ''), c.tls.group) : '–'},
], (c) => String(c.id), 'No connection is open.');

const watches = new Table($('watches'), 'Documents of the agent that this service goes by; upstreams have theirs above', [
  {head: 'Watch', show: (w) => w.name},
  {head: 'State', show: (w) => [mark(w.stale ? 'bad' : w.state === 'ok' ? 'good' : 'fair', w.stale ? 'too old' : w.state)]},
  {head: 'Confirmed', number: true, show: (w) => ago(w.age_seconds)},
  {head: 'From', show: (w) => w.source},
  {head: 'Asks', show: (w) => w.asks + (w.cached ? ', cached' : '')},
  {head: 'Errors', number: true, show: (w) => number(w.errors)},
  {head: 'Last error', wide: true, show: (w) => w.last_error || '–'},
], (w) => w.name, 'Nothing is watched: all is in the file.');

const listeners = new Table($('listeners'), 'Listeners', [
  {head: 'Listener', show: (l) => l.name},
  {head: 'Address', show: (l) => l.address},
  {head: 'State', show: (l) => [mark(l.state === 'open' ? 'good' : 'bad', l.state), ...limitLines(l.limits)]},
  {head: 'Error', wide: true, show: (l) => l.error || '–'},
], (l) => l.name, 'It has no listener but those of its upstreams.');

const generations = new Table($('generations'), 'Old generations: processes that live on after an upgrade until their connections have ended', [
  {head: 'Generation', show: (g) => g.generation},
  {head: 'Process', show: (g) => g.pid},
  {head: 'Version', show: (g) => g.version},
  {head: 'Retired', number: true, show: (g) => ago(g.retired_seconds)},
  {head: 'Connections', number: true, show: (g) => number(g.connections)},
  {head: 'Memory', number: true, show: (g) => bytes(g.resident_bytes)},
  {head: 'State', show: (g) => [mark('fair', g.state)]},
], (g) => String(g.pid), '');

const ago = (seconds) => seconds === null || seconds === undefined ? 'never' : span(seconds) + ' ago';
const clockOf = (time) => { const at = new Date(time); return isNaN(at) ? String(time) : at.toLocaleTimeString(); };
const keyOf = (flow) => JSON.stringify([flow.service, flow.direction, flow.source, flow.destination, flow.datacenter]);

const talkPart = new Part('talk', 40), upstreamsPart = new Part('upstreams', 20), livePart = new Part('live', innerWidth < 720 ? 10 : 25);

// Rates: this reading beside the oldest one of the last ten seconds.
const readings = [];

function quantile(bounds, below, share) {
  const all = below.reduce((sum, count) => sum + count, 0);
  if (all <= 0) return null;
  let passed = 0;
  for (let i = 0; i < bounds.length; ++i) {
    if (below[i] > 0 && passed + below[i] >= share * all) {
      const low = i === 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (share * all - passed) / below[i];
    }
    passed += below[i];
  }
  return bounds[bounds.length - 1];
}

function ratesOf(traffic) {
  const flows = new Map(traffic.flows.map((flow) => [keyOf(flow), flow]));
  if (readings.length && readings[readings.length - 1].at > traffic.at_seconds) readings.length = 0;  // it was restarted
  readings.push({at: traffic.at_seconds, flows, whole: traffic.flows.length === traffic.total});
  while (readings.length > 2 && readings[1].at <= traffic.at_seconds - WINDOW) readings.shift();
  return traffic.flows.map((flow) => {
    let known = readings.find((reading) => reading.flows.has(keyOf(flow)));
    let then = known.flows.get(keyOf(flow));
    const before = readings[readings.indexOf(known) - 1];
    if (before && before.whole) {  // it was not there then: all of it is new
      known = before;
      then = {opened: 0, requests: 0, bytes_in: 0, bytes_out: 0, failed: 0, answer: {below: then.answer.below.map(() => 0)}};
    }
    const time = traffic.at_seconds - known.at;
    const rate = (key) => time > 0 ? Math.max(0, flow[key] - then[key]) / time : 0;
    const news = flow.answer.below.map((count, i) => count - then.answer.below[i]);
    const lately = news.some((count) => count > 0);
    const of = (share, whole) => lately ? quantile(traffic.answer_bounds_seconds, news, share) : whole;
    return {flow, opened: rate('opened'), requests: rate('requests'), in: rate('bytes_in'), out: rate('bytes_out'),
            failed: flow.failed - then.failed, p50: of(0.5, flow.answer.p50_seconds), p99: of(0.99, flow.answer.p99_seconds)};
  });
}

// The picture: callers, the service, whom it calls. It says nothing that the table below it does not.
const SVG = 'http://www.w3.org/2000/svg';
let drawn = '';

function draw(own, rates) {
  const busy = (p) => p.in + p.out + p.opened * 1e3 + p.flow.open;
  const side = (direction, name) => {
    const all = rates.filter((p) => p.flow.direction === direction).sort((a, b) => busy(b) - busy(a));
    const ends = all.slice(0, MOST_IN_PICTURE).map((p) => ({name: name(p.flow) || 'not known', p}));
    ends.sort((a, b) => a.name < b.name ? -1 : 1);
    if (all.length > MOST_IN_PICTURE) ends.push({name: 'and ' + (all.length - MOST_IN_PICTURE) + ' more', p: null});
    return ends;
  };
  const callers = side('inbound', (flow) => flow.source), called = side('outbound', (flow) => flow.destination);
  const holder = $('picture');
  const width = Math.max(300, Math.round(holder.clientWidth));
  const narrow = width < 700;
  const what = JSON.stringify([own, width, callers, called]);
  if (what === drawn) return;
  drawn = what;
  holder.hidden = rates.length === 0;

  const add = (parent, tag, attributes, text) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const ROW = 62, BOX = 50, GAP = 12;
  const gutter = 34;
  const box = narrow ? width - gutter - 2 : Math.min(330, Math.round(width * 0.3));
  const rows = Math.max(callers.length, called.length, 1);
  const height = narrow ? (callers.length + called.length) * ROW + BOX + 2 * GAP : rows * ROW + GAP;
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${own}: called by ${callers.map((c) => c.name).join(', ') || 'nobody'}; ` +
                                 `calls ${called.map((c) => c.name).join(', ') || 'nobody'}. The table below has the numbers.`);
  const wires = add(svg, 'g', {});
  const cut = (text, room) => { const most = Math.max(6, Math.floor(room / 7.6)); return [...text].length > most ? [...text].slice(0, most - 1).join('') + '…' : text; };
  const node = (x, y, w, end) => {
    const p = end.p;
    const ill = p && p.failed > 0;
    const group = add(svg, 'g', {});
    add(group, 'title', {}, end.name);
    add(group, 'rect', {x: x + 1, y: y + 1, width: w - 2, height: BOX - 2, rx: 6, class: ill ? 'ill' : ''});
    add(group, 'text', {x: x + 10, y: y + (p ? 20 : 30)}, cut(end.name, w - 20));
    if (!p) return;
    const facts = [many(p.flow.open, 'open', 'open'), bytes(p.in + p.out) + '/s'];
    if (p.requests > 0) facts.push(perSecond(p.requests) + ' req/s');
    if (p.p99 !== null) facts.push('p99 ' + brief(p.p99));
    if (ill) facts.unshift(many(p.failed, 'failed', 'failed'));
    add(group, 'text', {x: x + 10, y: y + 39, class: ill ? 'ill' : 'sub'}, cut(facts.join(' · '), (w - 20) * 1.12));
  };
  const wire = (d, end) => {
    const p = end.p;
    const moves = p && p.in + p.out > 0;
    const thick = p ? Math.min(narrow ? 5 : 9, 1.2 + Math.log10(1 + p.in + p.out) * (narrow ? 0.6 : 1)) : 1;
    add(wires, 'path', {d, 'stroke-width': thick.toFixed(1), class: p && p.failed > 0 ? 'ill' : moves ? 'moves' : ''});
  };
  const centre = (x, y, w) => {
    add(svg, 'rect', {x: x + 1, y: y + 1, width: w - 2, height: BOX - 2, rx: 8, class: 'own'});
    add(svg, 'text', {x: x + w / 2, y: y + 30, 'text-anchor': 'middle', class: 'own'}, cut(own, w - 20));
  };
  if (narrow) {
    const middle = callers.length * ROW + GAP;
    callers.forEach((end, i) => {
      const y = i * ROW;
      wire(`M${gutter},${y + BOX / 2} C4,${y + BOX / 2} 4,${middle + BOX / 2} ${gutter},${middle + BOX / 2 - 6}`, end);
      node(gutter, y, box, end);
    });
    centre(gutter, middle, box);
    called.forEach((end, i) => {
      const y = middle + BOX + GAP + i * ROW;
      wire(`M${gutter},${middle + BOX / 2 + 6} C4,${middle + BOX / 2} 4,${y + BOX / 2} ${gutter},${y + BOX / 2}`, end);
      node(gutter, y, box, end);
    });
  } else {
    const own_width = Math.min(220, Math.round(width * 0.18));
    const left = Math.round((width - own_width) / 2), y0 = (height - BOX) / 2;
    const at = (ends, i) => (height - ends.length * ROW) / 2 + i * ROW + (ROW - BOX) / 2;
    callers.forEach((end, i) => {
      const y = at(callers, i), half = (box + left) / 2;
      wire(`M${box},${y + BOX / 2} C${half},${y + BOX / 2} ${half},${y0 + BOX / 2} ${left},${y0 + BOX / 2}`, end);
      node(0, y, box, end);
    });
    called.forEach((end, i) => {
      const y = at(called, i), start = left + own_width, x = width - box, half = (start + x) / 2;
      wire(`M${start},${y0 + BOX / 2} C${half},${y0 + BOX / 2} ${half},${y + BOX / 2} ${x},${y + BOX / 2}`, end);
      node(x, y, box, end);
    });
    centre(left, y0, own_width);
  }
  holder.replaceChildren(svg);
}

// Facts and notes.

const facts = new Map();

function fact(name, kind, text, more) {
  let at = facts.get(name);
  if (!at) {
    at = make('div');
    at.append(make('dt', '', name), make('dd'), make('dd', 'more'));
    facts.set(name, at);
    $('facts').append(at);
  }
  setClass(at, kind ? 'is-' + kind : '');
  set(at.children[1], text);
  set(at.children[2], more || '');
}

function showFacts(status) {
  const service = status.service;
  const leaf = service.leaf;
  const days = leaf ? leaf.seconds_left / 86400 : 0;
  fact('Identity', leaf ? (leaf.seconds_left <= 0 ? 'bad' : leaf.expiring ? 'fair' : 'good') : 'bad',
       leaf ? leaf.spiffe_id : 'none yet',
       leaf ? (leaf.seconds_left <= 0 ? 'expired' : days >= 2 ? Math.floor(days) + ' days left' : span(leaf.seconds_left) + ' left') +
           ', until ' + leaf.not_after + (leaf.expiring ? '; not renewed yet' : '') : '');
  fact('Roots', service.roots ? 'good' : 'bad', service.roots ? many(service.roots.count, 'root', 'roots') : 'none yet',
       service.roots ? 'of ' + service.roots.trust_domain : '');
  const intentions = service.intentions;
  fact('Intentions', intentions ? 'good' : 'bad', intentions ? number(intentions.count) : 'not known: everybody is denied',
       intentions ? 'whom none covers: ' + intentions.default : '');
  for (const [name, key] of [['Inbound', 'inbound'], ['Outbound', 'outbound']]) {
    const side = service.connections[key];
    fact(name, '', number(side.active) + ' open, ' + number(side.total) + ' in all',
         bytes(side.bytes_in) + ' from clients, ' + bytes(side.bytes_out) + ' to them');
  }
  const agent = status.agent;
  const away = agentIsAway(status);
  fact('Agent', agent ? (agent.error || away ? 'fair' : 'good') : '', agent ? agent.address : 'none: all is in the file',
       agent ? agent.error || (away ? 'does not answer' : many(agent.connections, 'connection', 'connections') + ' of ' + agent.max_connections) : '');
  const old = status.generations;
  fact('Old generations', '', many(old.length, 'process', 'processes'),
       many(old.reduce((sum, one) => sum + one.connections, 0), 'connection', 'connections') + ' of before an upgrade, in no other table here');
  facts.get('Old generations').hidden = !old.length;
}

const agentIsAway = (status) => status.agent !== null && status.service.watches.some(
    (watch) => watch.state === 'unanswered' || watch.state === 'retrying' && status.agent.connections === 0);

function showNotes(notes) {
  const list = $('notes');
  while (list.children.length > notes.length) list.lastElementChild.remove();
  notes.forEach(([kind, text], i) => {
    if (!list.children[i]) list.append(make('li'));
    setClass(list.children[i], kind);
    set(list.children[i], text);
  });
}

let said = '';
function say(text) {  // for who listens: changes of state, not numbers
  if (text === said) return;
  said = text;
  set($('say'), text);
}

function showServices(status) {
  const names = status.services.map((service) => service.name);
  $('service-box').hidden = names.length < 2;
  const select = $('service');
  if (JSON.stringify(names) !== JSON.stringify([...select.options].map((option) => option.value))) {
    const chosen = select.value;
    select.replaceChildren(...names.map((name) => { const option = make('option', '', name); option.value = name; return option; }));
    select.value = names.includes(chosen) ? chosen : names[0];
  }
  status.services.forEach((service, i) => {
    set(select.options[i], service.name + (service.state === 'ready' ? '' : ' (' + service.state + ')') + (service.degraded ? ' !' : ''));
  });
}

function showStatus(status) {
  const service = status.service;
  const name = service.service || service.name;
  document.title = name + ' – Mooring';
  set($('service-name'), name);
  const state = $('state');
  setClass(state, 'mark ' + ({ready: 'good', draining: 'fair'}[service.state] || 'bad'));
  set(state, service.state);
  set($('process'), `version ${status.version}, process ${status.pid}, up ${span(status.uptime_seconds)}` +
                    (service.proxy_id ? `, proxy ${service.proxy_id}` : ''));
  showServices(status);
  showFacts(status);
  const notes = [...service.not_ready.map((text) => ['bad', 'Not ready: ' + text]),
                 ...new Set([...status.degraded, ...service.degraded])].map((note) => Array.isArray(note) ? note : ['fair', 'Degraded: ' + note]);
  if (agentIsAway(status)) notes.push(['fair', 'The agent does not answer. Traffic goes on by what it said last.']);
  showNotes(notes);
  say(`${name} is ${service.state}` + (notes.length ? '. ' + notes.map(([, text]) => text).join('. ') : ''));
  upstreams.show(service.upstreams.list, service.upstreams.total ? 'No upstream matches.' : 'This service calls nobody.');
  upstreamsPart.took(service.upstreams.list.length, service.upstreams.matched, service.upstreams.total);
  watches.show(service.watches);
  listeners.show(service.listeners);
  $('generations').hidden = !status.generations.length;
  generations.show(status.generations);
}

// Reading.

let timer = 0, reading = null, paused = false, again = false, lastGood = null;

const chosenService = () => $('service-box').hidden ? {} : {service: $('service').value};

async function ask(path, query, signal) {
  const answer = await fetch(path + '?' + new URLSearchParams({...query, ...chosenService()}), {signal, cache: 'no-store'});
  if (!answer.ok) throw Object.assign(new Error('the proxy answered ' + answer.status), {status: answer.status});
  return answer.json();
}

async function read() {
  clearTimeout(timer);
  if (reading) { again = true; return; }
  reading = new AbortController();
  const limit = setTimeout(() => reading.abort(), PATIENCE);
  const signal = reading.signal;
  try {
    const status = await ask('/status', {brief: 1, ...upstreamsPart.query()}, signal);
    const has = (list) => status.lists.includes(list);
    const [traffic, connections, recent] = await Promise.all([
      ask('/traffic', talkPart.query(), signal), ask('/connections', livePart.query(), signal),
      has('recent') ? ask('/recent', {limit: 15}, signal) : null]);
    showStatus(status);
    const rates = ratesOf(traffic);
    draw(status.service.service || status.service.name, rates);
    pairs.show(rates, traffic.total ? 'No pair matches.' : 'Nobody has talked to anybody yet.');
    talkPart.took(traffic.flows.length, traffic.matched, traffic.total);
    live.show(connections.connections, connections.total ? 'No connection matches.' : 'No connection is open.');
    livePart.took(connections.connections.length, connections.matched, Math.max(connections.total, connections.matched));
    refused.show(recent ? recent.failed : [], recent ? 'None that is remembered.' : 'This program does not keep them.');
    lastGood = new Date();
    setClass($('updated'), 'quiet');
    set($('updated'), 'as of ' + lastGood.toLocaleTimeString());
  } catch (error) {
    const why = signal.aborted ? 'it has not answered within ' + PATIENCE / 1000 + ' s' : error.message;
    setClass($('updated'), 'mark bad');
    set($('updated'), lastGood ? 'no answer since ' + lastGood.toLocaleTimeString() : 'no answer');
    showNotes([['bad', 'No answer from the proxy: ' + why + '. What stands below is old. It will be asked again.']]);
    say('No answer from the proxy');
  } finally {
    clearTimeout(limit);
    reading = null;
    if (again) { again = false; readSoon(0); } else if (!paused) readSoon(EVERY);
  }
}

// readSoon: a reading that somebody has caused comes even while it is paused.
function readSoon(delay) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(read, delay);
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  if (paused) clearTimeout(timer); else readSoon(0);
});
$('service').addEventListener('change', () => {
  readings.length = 0;
  for (const part of [talkPart, upstreamsPart, livePart]) part.offset = 0;
  readSoon(0);
});
document.addEventListener('visibilitychange', () => { if (document.hidden) clearTimeout(timer); else if (!paused) readSoon(0); });
addEventListener('resize', () => { drawn = ''; if (!reading) readSoon(100); });
read();
