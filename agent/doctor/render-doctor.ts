import type { InspectColor } from 'node:util'

import type { DoctorReport, Finding, Level } from './doctor-check.ts'

export interface RenderOptions {
  /** Of the terminal; undefined where lines are not to be broken. */
  readonly columns?: number | undefined
  readonly paint?: (color: InspectColor, text: string) => string
}

const marks: Readonly<Record<Level, { readonly text: string; readonly color: InspectColor }>> = {
  pass: { text: 'pass', color: 'green' },
  skip: { text: 'skip', color: 'gray' },
  warn: { text: 'WARN', color: 'yellow' },
  fail: { text: 'FAIL', color: 'red' },
}
/** What needs a person stands at the end, where the eye is. */
const order: readonly Level[] = ['pass', 'skip', 'warn', 'fail']
const markWidth = 6
const longestName = 34
const narrowest = 40

/** The report for people: a line per finding, those that need something done last, each with what to do. */
export function renderDoctor(report: DoctorReport, { columns, paint = plainly }: RenderOptions = {}): string {
  const { findings, counts } = report
  const nameWidth = Math.min(longestName, Math.max(0, ...findings.map(({ name }) => name.length))) + 2
  const blocks = order
    .map((level) => findings.filter((finding) => finding.level === level))
    .filter((block) => block.length > 0)
    .map((block) => block.flatMap((finding) => linesOf(finding, { nameWidth, columns, paint })).join('\n'))
  const head = `panorama-agent ${report.agent}, as ${report.user}, ${report.at}`
  return `${[head, ...blocks, summary(counts, paint)].join('\n\n')}\n`
}

interface LineOptions {
  readonly nameWidth: number
  readonly columns: number | undefined
  readonly paint: NonNullable<RenderOptions['paint']>
}

function linesOf({ level, name, text, hint }: Finding, { nameWidth, columns, paint }: LineOptions): readonly string[] {
  const indent = markWidth + nameWidth
  const room = columns === undefined ? Infinity : Math.max(narrowest, columns - indent - 1)
  const mark = paint(marks[level].color, marks[level].text)
  const label = `${mark}${' '.repeat(markWidth - marks[level].text.length)}${name.padEnd(nameWidth)}`
  const [first = '', ...rest] = wrapped(text, room)
  const hints = hint === undefined ? [] : wrapped(`-> ${hint}`, room)
  return [`${label}${first}`, ...[...rest, ...hints].map((line) => `${' '.repeat(indent)}${line}`)]
}

function wrapped(text: string, room: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > room) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

function summary({ pass, skip, warn, fail }: DoctorReport['counts'], paint: LineOptions['paint']): string {
  const text = [
    `${fail} failed`,
    `${warn} ${warn === 1 ? 'warning' : 'warnings'}`,
    `${pass} passed`,
    `${skip} skipped`,
  ].join(', ')
  return paint(fail > 0 ? 'red' : warn > 0 ? 'yellow' : 'green', text)
}

function plainly(_color: InspectColor, text: string): string {
  return text
}
