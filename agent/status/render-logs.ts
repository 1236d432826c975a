import { bytesText, countText, durationText } from '../lib/quantity-text.ts'
import { noPaint, visibleText, wrapText, type Emphasis } from '../lib/terminal-text.ts'
import type { LogStreamPart, RecentLogs } from './recent-logs-document.ts'
import { rowLines, type Layout } from './status-layout.ts'
import { PartRows, row } from './status-rows.ts'

const emphasisOf: ReadonlyMap<string | undefined, Emphasis> = new Map([
  ['ERROR', 'bad'],
  ['WARN', 'doubtful'],
])

const withoutIdentity =
  'Nothing is uploaded before the appliance has an identity; what is logged waits for it. panorama-agent status says what is missing'

/** One line of the agent's own log as a terminal may have it. */
export function logLineText(line: string, { paint = noPaint }: Layout): string {
  const emphasis = emphasisOf.get(/^\S+ (ERROR|WARN)\b/.exec(line)?.[1])
  const text = visibleText(line)
  return emphasis === undefined ? text : paint(emphasis, text)
}

/** What waits for its upload, a row per stream in which anything does or that fails; else that nothing does. */
export function waitingLines({ streams, now, provisioned }: RecentLogs, layout: Layout): readonly string[] {
  if (!provisioned) return wrapText(withoutIdentity, layout.width ?? Infinity)
  const rows = new PartRows(now)
  const shown = streams.filter((stream) => stream.state !== 'ok' || isWaiting(stream))
  if (shown.length === 0) return [`Nothing waits for its upload (${countText(streams.length, 'log stream')})`]
  const others = streams.length - shown.length
  return [
    'Waiting for their upload:',
    ...rowLines(
      [
        ...shown.map((stream) => rows.part(stream.stream, stream, streamText(stream, rows))),
        ...(others === 0 ? [] : [row(`and ${countText(others, 'stream')}`, 'ok', 'nothing waits')]),
      ],
      layout,
    ),
  ]
}

function isWaiting({ events, backlogBytes = 0, gapsPending }: LogStreamPart): boolean {
  return events > 0 || backlogBytes > 0 || gapsPending > 0
}

function streamText(stream: LogStreamPart, rows: PartRows): string {
  const { group, events, bytes, backlogBytes = 0, lagSeconds = 0, gapsPending, lastAcceptedAt } = stream
  const size = Math.max(bytes, backlogBytes)
  return [
    ...(size === 0 ? [] : [bytesText(size)]),
    `${countText(events, 'event')} of it read`,
    ...(events === 0 ? [] : [`the oldest ${durationText(lagSeconds)} old`]),
    ...(gapsPending === 0 ? [] : [countText(gapsPending, 'gap record')]),
    lastAcceptedAt === undefined ? 'nothing accepted yet' : `last accepted ${rows.age(lastAcceptedAt)} ago`,
    `to ${group}`,
  ].join(', ')
}
