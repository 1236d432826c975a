import { createHash } from 'node:crypto'
import { basename, dirname, join, parse } from 'node:path'

import type { Config } from '../config/config-schema.ts'
import { templateParts } from '../lib/text-template.ts'
import type { LineFormat } from './events/line-format.ts'
import type { LogTarget } from './log-destination.ts'

export interface TargetTemplates {
  readonly group: string
  readonly stream: string
}

/** What stands for `{device.id}`, `{device.name}` and `{thing}`. */
export interface DeviceLabels {
  readonly id: string
  readonly name: string
  readonly thing: string
}

/** What stands for a placeholder, by its name without braces. */
export type PlaceholderValues = Readonly<Record<string, string>>

/** The files of one source, and where their lines go. */
export interface SourcePattern {
  /** Absolute, see globFiles. */
  readonly pattern: string
  /** Those that are sources by themselves, of all paths that fit the pattern and are not compressed. */
  readonly choose: (paths: readonly string[]) => readonly string[]
  readonly targetOf: (path: string) => LogTarget
  readonly format: LineFormat
}

const maxNameLength = 512
const digestLength = 8
/** `app.log.1`, `app.log-20260101`, `app.log.old`: what rotation made of `app.log`. */
const rotated = /^(.+\.[a-z]\w*)[._-](?:\d[\dT:Z._-]*|old|bak|prev)$/is

/** The files of every source that has any, in the order of the configuration: the first that chooses a path has it. */
export function sourcePatterns(sources: Config['logs']['sources'], device: DeviceLabels): readonly SourcePattern[] {
  return sources.flatMap((source) => {
    if (source.kind === 'journal') return []
    const targetOf = (path: string): LogTarget => expandTarget(source, { ...deviceValues(device), ...fileValues(path) })
    if (source.kind === 'file') return { pattern: source.path, choose: (paths) => paths, targetOf, format: source }
    return { pattern: join(source.folder, '*', '*'), choose: unrotated, targetOf, format: source }
  })
}

/** What stands for the placeholders that every source has. */
export function deviceValues({ id, name, thing }: DeviceLabels): PlaceholderValues {
  return { 'device.id': id, 'device.name': name, thing }
}

/**
 * The names that templates make of values, within CloudWatch's patterns ("CreateLogGroup", "CreateLogStream", API
 * reference) whatever the values are: `-` for each character that may not stand there and for a value that is empty or
 * missing. A name over 512 characters is cut, and a digest of the whole put in place of its end.
 */
export function expandTarget({ group, stream }: TargetTemplates, values: PlaceholderValues): LogTarget {
  return {
    group: fitted(expand(group, values), /[^.\-_/#A-Za-z0-9]/gu).replace(/^(aws)\//i, '$1-'),
    stream: fitted(expand(stream, values), /[:*\p{C}\p{Zl}\p{Zp}]/gu),
  }
}

/**
 * What rotation makes of a file is followed with that file, also where it is a copy that would look like a new one. Only
 * names that can be nothing else beside it are left out: `node-1.log` may be another node's.
 */
function unrotated(paths: readonly string[]): readonly string[] {
  const all = new Set(paths)
  return paths.filter((path) => !all.has(rotated.exec(path)?.[1] ?? ''))
}

/** In an application's folder the folder of a file is the application. */
function fileValues(path: string): PlaceholderValues {
  const folder = basename(dirname(path))
  return { folder, application: folder, file: stemOf(path) }
}

/** A rotated file has the stem of the file that it was. */
function stemOf(path: string): string {
  const name = basename(path)
  return parse(rotated.exec(name)?.[1] ?? name).name
}

function expand(template: string, values: PlaceholderValues): string {
  const texts = templateParts(template).map((part) => {
    if (part.kind === 'text') return part.text
    const value = values[part.name] ?? ''
    return value === '' ? '-' : value
  })
  return texts.join('')
}

function fitted(name: string, forbidden: RegExp): string {
  const printable = name.replaceAll(forbidden, '-')
  if (printable.length <= maxNameLength && printable !== '') return printable
  const digest = createHash('sha256').update(name).digest('hex').slice(0, digestLength)
  const start = printable.slice(0, maxNameLength - digestLength - 1).replace(/[\uD800-\uDBFF]$/, '') // half a character
  return `${start}-${digest}`
}
