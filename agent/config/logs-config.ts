import * as z from 'zod'

import { linearPattern } from '../lib/linear-pattern.ts'
import { absolutePath } from './config-text.ts'
import { groupTemplate, optionalStreamTemplate, streamTemplate } from './log-templates.ts'

const logLevel = z.enum(['debug', 'info', 'warn', 'error'])

const multiLine = z.strictObject({
  firstLine: z
    .string()
    .min(1)
    .max(512)
    .superRefine(isLinearPattern)
    .describe(
      'A regular expression for the first line of an event, tried on its first 1,024 characters; the lines up to the next one are joined to it. No lookahead and no backreference.',
    ),
  maxLines: z.int().min(2).max(10_000).default(500).describe('An event with more is ended there.'),
  waitSeconds: z.int().min(1).max(60).default(2).describe('An event that did not grow for so long is ended.'),
})

const lineFormat = {
  multiLine: multiLine
    .optional()
    .describe('Joins the lines of stack traces and the like. Default: a line is an event.'),
  timestamps: z
    .enum(['auto', 'none'])
    .default('auto')
    .describe('Whether an event has the time that its line begins with; none: the time it is read at.'),
  timeZone: z
    .enum(['local', 'utc'])
    .default('local')
    .describe('Of times in lines that do not say so; local is the time zone of the appliance.'),
}

const fileSource = z.strictObject({
  kind: z.literal('file'),
  path: absolutePath.describe('A path whose segments may hold * and ?. Compressed files are left out.'),
  group: groupTemplate('file', '/aws/panorama/devices/{device.id}'),
  stream: streamTemplate('file', '{file}'),
  ...lineFormat,
})

const applicationsSource = z.strictObject({
  kind: z.literal('applications'),
  folder: z
    .string()
    .regex(/^\/[^\0*?]*$/, 'must be an absolute path without * and ?')
    .describe('Each folder in it is an application, each regular file in that a source, compressed ones left out.'),
  group: groupTemplate('applications', '/aws/panorama/devices/{device.id}/applications/{application}'),
  stream: streamTemplate('applications', '{file}'),
  ...lineFormat,
})

const journalSource = z
  .strictObject({
    kind: z.literal('journal'),
    unit: z
      .string()
      .regex(/^[A-Za-z0-9:_.@\\-]{1,256}$/, 'must be the name of a systemd unit, such as nginx.service')
      .overwrite(withUnitSuffix)
      .optional()
      .describe(
        'Only what this unit logs, and what systemd logs about it. A name without a suffix is that of a service.',
      ),
    group: groupTemplate('journal', '/aws/panorama/devices/{device.id}'),
    stream: optionalStreamTemplate(
      'journal',
      "Default: the unit's name. Without a unit: kern_log, occ_log (the agent's own log) and syslog (all else).",
    ),
  })
  .superRefine(namesItsUnit)
  .describe('The journal of systemd.')

const logSources = [fileSource, applicationsSource, journalSource] as const
const logSource = z.discriminatedUnion('kind', logSources, {
  error: ({ input }) => (typeof input === 'object' ? `must be one of ${sourceKinds()}` : undefined),
})

/** What is sent of logs, and how. */
export const logsSection = z
  .strictObject({
    flushSeconds: z.int().min(1).max(3600).default(15),
    sources: z.array(logSource).max(100).default([]).superRefine(uniqueUnits),
    level: logLevel.default('info').describe("The agent's own log."),
    maxBytesPerSecond: z
      .int()
      .min(1024)
      .optional()
      .describe('Of the upload, all streams together. Default: as fast as it goes.'),
    maxBacklogBytes: z
      .int()
      .min(4_194_304)
      .default(1_073_741_824)
      .describe(
        'A file with more to send jumps ahead, and a record in its stream says over how much; so does a stream of the journal with so much of its files behind its place.',
      ),
    maxBacklogHours: z
      .int()
      .min(1)
      .max(335)
      .default(312)
      .describe('Older events are left out, and a record in their stream says so. CloudWatch takes none over 14 days.'),
    minLevelWhenBehind: logLevel
      .default('debug')
      .describe('Lower levels are left out while a stream is far behind; a record says how many. debug: none.'),
    compression: z
      .enum(['gzip', 'none'])
      .default('gzip')
      .describe('Of batches on their way to CloudWatch Logs; left out by itself where it is refused.'),
  })
  .prefault({})

function isLinearPattern(source: string, context: z.RefinementCtx): void {
  try {
    linearPattern(source)
  } catch (error) {
    const message = `must be a regular expression without lookahead, backreference and large counts (${String(error)})`
    context.addIssue({ code: 'custom', message })
  }
}

function sourceKinds(): string {
  return logSources.map(({ shape }) => `"${shape.kind.value}"`).join(', ')
}

/** As systemctl completes names. */
function withUnitSuffix(name: string): string {
  return /\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/.test(name)
    ? name
    : `${name}.service`
}

function namesItsUnit(source: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  for (const field of ['group', 'stream']) {
    const template = source[field]
    if (source['unit'] !== undefined || typeof template !== 'string' || !template.includes('{unit}')) continue
    context.addIssue({ code: 'custom', path: [field], message: 'cannot name {unit} in a source without a unit' })
  }
}

/** A line of the journal goes to one stream, so one source has to be the one for it. */
function uniqueUnits(
  sources: readonly { readonly kind: string; readonly unit?: string | undefined }[],
  context: z.RefinementCtx,
): void {
  const seen = new Set<string>()
  for (const [index, { kind, unit = '' }] of sources.entries()) {
    if (kind !== 'journal') continue
    if (seen.has(unit)) {
      const message = unit === '' ? 'the whole journal is there twice' : `"${unit}" is there twice`
      context.addIssue({ code: 'custom', path: [index, 'unit'], message })
    }
    seen.add(unit)
  }
}
