import { colourPaint, noPaint } from '../lib/terminal-text.ts'
import type { Layout } from '../status/status-layout.ts'
import type { CommandContext } from './command-context.ts'

export interface ScreenSize {
  readonly columns: number
  readonly rows: number
}

/** Of a serial console, which does not tell. */
const usual: ScreenSize = { columns: 80, rows: 24 }

/** How text is laid out for the output: as wide as a terminal is, with colours where they are wanted; else not broken. */
export function layoutFor({ stdout, terminal }: Pick<CommandContext, 'stdout' | 'terminal'>): Required<Layout> {
  const size = sizeOf(stdout)
  return {
    width: size === undefined ? Infinity : size.columns,
    paint: terminal?.hasColours === true ? colourPaint : noPaint,
  }
}

/** Undefined for what is no terminal. */
export function sizeOf(stdout: NodeJS.WritableStream): ScreenSize | undefined {
  if (!('isTTY' in stdout) || stdout.isTTY !== true) return undefined
  return { columns: told(stdout, 'columns') ?? usual.columns, rows: told(stdout, 'rows') ?? usual.rows }
}

/** 0 stands for a terminal that does not know. */
function told(stdout: object, what: 'columns' | 'rows'): number | undefined {
  const number: unknown = Reflect.get(stdout, what)
  return typeof number === 'number' && number > 0 ? number : undefined
}
