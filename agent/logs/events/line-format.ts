import type { Config } from '../../config/config-schema.ts'
import { linearPattern } from '../../lib/linear-pattern.ts'
import type { LineReading } from './event-assembler.ts'
import { TimestampReader } from './timestamp-reader.ts'

/** What the configuration says about the lines of a source. */
export type LineFormat = Pick<
  Extract<Config['logs']['sources'][number], { readonly kind: 'file' }>,
  'multiLine' | 'timestamps' | 'timeZone'
>

/** For one file: the reader of its timestamps remembers the last one. */
export function lineReading({ multiLine, timestamps, timeZone }: LineFormat): LineReading {
  const firstLine = multiLine === undefined ? undefined : linearPattern(multiLine.firstLine)
  return {
    ...(timestamps === 'none' ? {} : { timestamps: new TimestampReader(timeZone) }),
    ...(multiLine === undefined || firstLine === undefined
      ? {}
      : { multiLine: { isFirst: (line) => firstLine.test(line), maxLines: multiLine.maxLines } }),
  }
}
