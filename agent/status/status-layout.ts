import { noPaint, visibleText, wrapText, type Emphasis, type Paint } from '../lib/terminal-text.ts'
import { cautionsOf } from './status-cautions.ts'
import type { StatusReport } from './status-document.ts'
import { verdictOn, type Verdict } from './status-line.ts'
import type { StatusRow } from './status-rows.ts'

export interface Layout {
  /** Columns of the terminal; default: lines are not broken. */
  readonly width?: number
  readonly paint?: Paint
}

interface Columns {
  readonly title: number
  readonly state: number
  /** Of the text. */
  readonly width: number
}

const maxTitle = 26
const minText = 24
/** Neither well nor a fault. */
const doubtfulStates = new Set([
  'starting',
  'waiting',
  'connecting',
  'pending',
  'unproven',
  'unconfirmed',
  'trial',
  'one by one',
])
const verdictEmphasis: Readonly<Record<Verdict['kind'], Emphasis>> = {
  well: 'good',
  starting: 'doubtful',
  failing: 'bad',
  stuck: 'bad',
}

/** The lines of a status: the verdict with what to do, a blank, and the rows in columns. */
export function layOut(status: StatusReport, rows: readonly StatusRow[], layout: Layout): readonly string[] {
  return [...verdictLines(status, layout), '', ...rowLines(rows, layout)]
}

/** What is to be known first. */
export function verdictLines(status: StatusReport, { width = Infinity, paint = noPaint }: Layout): readonly string[] {
  const { kind, text, toDo } = verdictOn(status)
  const painted = wrapText(visibleText(text), width).map((line) => paint(verdictEmphasis[kind], line))
  const cautions = cautionsOf(status).flatMap((each) => wrapText(`Note: ${visibleText(each)}`, width))
  return [
    ...painted,
    ...(toDo === undefined ? [] : wrapText(`To do: ${visibleText(toDo)}`, width)),
    ...cautions.map((line) => paint('doubtful', line)),
  ]
}

export function rowLines(rows: readonly StatusRow[], { width = Infinity, paint = noPaint }: Layout): readonly string[] {
  const title = Math.min(maxTitle, Math.max(0, ...rows.map((each) => each.title.length)))
  const state = Math.max(0, ...rows.map((each) => each.state.length))
  const columns = { title, state, width: width - title - state - 2 }
  return rows.flatMap((each) => [
    ...columnLines(each, columns, paint),
    ...each.details.flatMap(({ label, text }) =>
      columnLines({ title: '', state: label, text, isWell: label === 'hint' }, columns, paint),
    ),
  ])
}

type Cells = Pick<StatusRow, 'title' | 'state' | 'text' | 'isWell'>

function columnLines({ title, state, text, isWell }: Cells, columns: Columns, paint: Paint): readonly string[] {
  const isNarrow = columns.width < minText
  const padded = state.padEnd(columns.state)
  const shownState = isWell ? padded : paint(doubtfulStates.has(state) ? 'doubtful' : 'bad', padded)
  const head = `${title.padEnd(columns.title)} ${shownState}`
  const indent = isNarrow ? '    ' : ' '.repeat(columns.title + columns.state + 2)
  const textWidth = isNarrow ? columns.title + columns.state + 2 + columns.width - indent.length : columns.width
  const [first = '', ...others] = wrapText(text, Math.max(1, textWidth))
  if (isNarrow || title.length > columns.title) {
    return [head.trimEnd(), ...[first, ...others].filter((line) => line !== '').map((line) => `${indent}${line}`)]
  }
  return [`${head} ${first}`.trimEnd(), ...others.map((line) => `${indent}${line}`)]
}
