import * as z from 'zod'

import { templateParts } from '../lib/text-template.ts'

const ofDevice = ['device.id', 'device.name', 'thing']

/** What the names of group and stream may be made of, by the kind of source. */
const placeholders = {
  file: [...ofDevice, 'file', 'folder'],
  applications: [...ofDevice, 'application', 'file', 'folder'],
  journal: [...ofDevice, 'unit'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type LogSourceKind = keyof typeof placeholders

interface NameRule {
  readonly what: string
  /** One character that may not stand in such a name. */
  readonly forbidden: RegExp
  readonly allowed: string
}

/** Of "CreateLogGroup" and "CreateLogStream" (API reference); control characters would make a stream hard to name. */
const groupRule: NameRule = { what: 'a log group', forbidden: /[^.\-_/#A-Za-z0-9]/u, allowed: 'A-Z a-z 0-9 . - _ / #' }
const streamRule: NameRule = {
  what: 'a log stream',
  forbidden: /[:*\p{C}\p{Zl}\p{Zp}]/u,
  allowed: 'printable characters but : and *',
}

/** The template of log group names for one kind of source, checked as far as a template can be. */
export function groupTemplate(kind: LogSourceKind, byDefault: string): z.ZodType<string, string | undefined> {
  return nameTemplate(kind, groupRule)
    .refine((text) => !/^aws\//i.test(text), 'must not begin with aws/, which is for AWS itself')
    .default(byDefault)
    .describe(`The log group, of ${shown(kind)}. Outside of /aws/panorama/devices/ the role needs a policy more.`)
}

/** As groupTemplate, for log stream names. */
export function streamTemplate(kind: LogSourceKind, byDefault: string): z.ZodType<string, string | undefined> {
  return nameTemplate(kind, streamRule)
    .default(byDefault)
    .describe(`The log stream, of ${shown(kind)}.`)
}

/** As streamTemplate, where what it is by default depends on the source: `byDefault` says how. */
export function optionalStreamTemplate(kind: LogSourceKind, byDefault: string): z.ZodOptional<z.ZodString> {
  return nameTemplate(kind, streamRule)
    .optional()
    .describe(`The log stream, of ${shown(kind)}. ${byDefault}`)
}

function nameTemplate(kind: LogSourceKind, rule: NameRule): z.ZodString {
  return z
    .string()
    .min(1, 'must not be empty')
    .max(512, 'must have at most 512 characters')
    .superRefine((text, context) => {
      for (const message of faultsOf(text, kind, rule)) context.addIssue({ code: 'custom', message })
    })
}

function faultsOf(text: string, kind: LogSourceKind, { what, forbidden, allowed }: NameRule): readonly string[] {
  return templateParts(text).flatMap((part): readonly string[] => {
    if (part.kind === 'placeholder') return placeholderFaults(part.name, kind)
    if (/[{}]/.test(part.text)) return [`has a brace that belongs to no placeholder; there are ${shown(kind)}`]
    const found = forbidden.exec(part.text)?.[0]
    return found === undefined ? [] : [`${JSON.stringify(found)} may not stand in the name of ${what}: ${allowed}`]
  })
}

function placeholderFaults(name: string, kind: LogSourceKind): readonly string[] {
  const known: readonly string[] = placeholders[kind]
  if (known.includes(name)) return []
  const isOfAnother = Object.values(placeholders).some((names: readonly string[]) => names.includes(name))
  const why = isOfAnother ? `is nothing that a source of kind "${kind}" has` : 'is not a known placeholder'
  return [`{${name}} ${why}; there are ${shown(kind)}`]
}

function shown(kind: LogSourceKind): string {
  return placeholders[kind].map((name) => `{${name}}`).join(' ')
}
