import { createHash } from 'node:crypto'

import * as z from 'zod'

import { schemaWords } from '../lib/schema-words.ts'

/** The name of a unit that systemd could know, as root's lists have it; see "Requests to root" in panorama-agent(8). */
const unitName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}$/,
    'must be the name of a unit, 1 to 128 characters of A-Z a-z 0-9 @ . _ : -',
  )
/** As DescribeCertificate has it (AWS IoT API Reference). */
const certificateId = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be the id of a certificate: 64 digits, 0 to 9 and a to f')
const name = z.string().min(1).max(64)
const version = z.literal('1.0', { error: 'must be "1.0"' })
const names = z.array(name).min(1).max(100)

const operations = [
  z.strictObject({
    version,
    operation: z.literal('configure'),
    /** Merged into what earlier jobs set (RFC 7396), or with `replace` in its place. */
    patch: z.record(z.string(), z.unknown(), {
      error: ({ input }) => (input === undefined ? undefined : 'must be an object, as in {"logs":{"flushSeconds":60}}'),
    }),
    replace: z.boolean().default(false),
    expectedVersion: z.int().min(0).optional(),
    confirmSeconds: z.int().min(30).max(3_600).default(300),
    dryRun: z.boolean().default(false),
  }),
  z.strictObject({
    version,
    operation: z.literal('sync-artifacts'),
    artifacts: names.optional(),
    timeoutSeconds: z.int().min(60).max(86_400).default(3_600),
  }),
  z.strictObject({
    version,
    operation: z.literal('rollback-artifact'),
    artifact: name,
    to: z
      .string()
      .regex(/^[0-9a-f]{4,64}$/, 'must be what the id of a release begins with: 4 to 64 digits, 0 to 9 and a to f')
      .optional(),
  }),
  z.strictObject({ version, operation: z.literal('refresh-cameras'), cameras: names.optional() }),
  z.strictObject({
    version,
    operation: z.literal('collect-diagnostics'),
    logLines: z.int().min(0).max(2_000).default(500),
  }),
  z.strictObject({
    version,
    operation: z.literal('rotate-certificate'),
    confirmSeconds: z.int().min(30).max(3_600).default(300),
  }),
  z.strictObject({
    version,
    operation: z.literal('forget-certificates'),
    /** Of a whole fleet: each appliance finds its own among them. */
    certificateIds: z.array(certificateId).min(1).max(400),
  }),
  z.strictObject({ version, operation: z.literal('restart-agent') }),
  z.strictObject({ version, operation: z.literal('reboot') }),
  z.strictObject({ version, operation: z.literal('restart-application'), unit: unitName }),
  z.strictObject({
    version,
    operation: z.literal('update-agent'),
    /** Its release holds the package and its signature. */
    artifact: name,
    /** How long the new version may take to confirm itself, after which the one before is installed again. */
    confirmSeconds: z.int().min(60).max(3_600).default(600),
    expectedVersion: z
      .string()
      .regex(/^[0-9][A-Za-z0-9.+:~-]{0,63}$/, 'must be a version of the package, such as 1.2.0 or 1.3.0~rc.1')
      .optional(),
  }),
] as const

const operationSchema = z.discriminatedUnion('operation', operations)

/** What an operator wants done, every default filled in. */
export type JobOperation = z.infer<typeof operationSchema>
export type OperationOf<Name extends JobOperation['operation']> = Extract<JobOperation, { operation: Name }>

/** A fault of a job document: `path` is where in it. */
export interface DocumentFault {
  readonly path: string
  readonly message: string
}

export type ParsedDocument =
  | { readonly kind: 'operation'; readonly operation: JobOperation; readonly digest: string }
  | {
      readonly kind: 'rejected'
      readonly faults: readonly DocumentFault[]
      readonly digest: string
      /** The operation that it names, if it is one. */
      readonly named?: JobOperation['operation'] | undefined
    }

/** CreateJob takes 32,768 characters inline ("Jobs limits"); an appliance takes no more from anywhere. */
const maxCharacters = 32_768
const maxDepth = 24
const refusedKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * Reads a job document: one of ours, or of the managed templates AWS-Reboot and AWS-Restart-Application. Never throws: what
 * it does not take is rejected with every fault and its path.
 */
export function parseJobDocument(given: unknown): ParsedDocument {
  const document = given ?? null // what is left out has no JSON
  const structure = structureFault(document)
  if (structure !== undefined) return { kind: 'rejected', faults: [structure], digest: '' }
  const digest = createHash('sha256').update(canonical(document)).digest('hex')
  const read = isManagedTemplate(document) ? readManagedTemplate(document) : readOurs(document)
  return { ...read, digest }
}

type Read =
  | { readonly kind: 'operation'; readonly operation: JobOperation }
  | Omit<Extract<ParsedDocument, { kind: 'rejected' }>, 'digest'>

function readOurs(document: unknown): Read {
  const { success, data, error } = operationSchema.safeParse(document, { error: schemaWords })
  if (success) return { kind: 'operation', operation: data }
  return { kind: 'rejected', faults: error.issues.flatMap(describeIssue), named: namedIn(document) }
}

function namedIn(document: unknown): JobOperation['operation'] | undefined {
  const { data } = z.object({ operation: z.unknown() }).safeParse(document)
  return operations.map(({ shape }) => shape.operation.value).find((each) => each === data?.operation)
}

function describeIssue(issue: z.core.$ZodIssue): readonly DocumentFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: 'is not a known field' }))
  }
  if (issue.code === 'invalid_union') {
    const known = operations.map(({ shape }) => shape.operation.value).join(', ')
    return [{ path: 'operation', message: `must be one of ${known}` }]
  }
  return [{ path: pathText(issue.path), message: issue.message }]
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  return text === '' ? '(whole document)' : text.replace(/^\./, '')
}

/** Checked before anything else looks at it, on a stack of its own: no depth can exhaust the real one. */
function structureFault(document: unknown): DocumentFault | undefined {
  const open: { readonly value: unknown; readonly depth: number; readonly path: string }[] = [
    { value: document, depth: 0, path: '' },
  ]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth, path } = next
    if (typeof value !== 'object' || value === null) continue
    if (depth === maxDepth) return { path, message: `is nested more than ${maxDepth} deep` }
    for (const [key, inner] of Object.entries(value)) {
      const innerPath = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
      if (refusedKeys.has(key)) return { path: innerPath, message: 'is a key that is never taken' }
      open.push({ value: inner, depth: depth + 1, path: innerPath })
    }
  }
  const length = JSON.stringify(document).length
  if (length > maxCharacters)
    return { path: '', message: `has ${length} characters; at most ${maxCharacters} are taken` }
  return undefined
}

/** The same for the same document, in whatever order its keys came. */
function canonical(document: unknown): string {
  return JSON.stringify(document, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  )
}

/** What its agent for devices knows beside the steps changes what they do: none of that is left out quietly. */
const managedTemplate = z.object({
  version,
  conditions: z
    .undefined({ error: 'is not looked at here: choose the appliances by the target of the job' })
    .optional(),
  finalStep: z.undefined({ error: 'is not done here: an appliance takes one operation at a time' }).optional(),
  steps: z
    .array(
      z.object({
        action: z.object({
          name: z.string(),
          type: z.literal('runHandler', { error: 'must be "runHandler"' }).optional(),
          input: z.object({ handler: z.string().optional(), args: z.array(z.string()).optional() }).optional(),
        }),
      }),
    )
    .min(1),
})

/** Which operation of ours does what a managed template of AWS does; where there is none, what to use instead. */
const insteadOf: Readonly<Record<string, string>> = {
  'Download-File': 'publish the file as an artifact and use "sync-artifacts"',
  'Install-Application': 'publish it as an artifact and use "sync-artifacts"',
  'Remove-Application': 'take it out of the configuration with "configure"',
  'Start-Application': 'use "restart-application"',
  'Stop-Application': 'there is no operation that stops an application',
}

function isManagedTemplate(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'steps' in document
}

function readManagedTemplate(document: unknown): Read {
  const { success, data, error } = managedTemplate.safeParse(document, { error: schemaWords })
  if (!success) return { kind: 'rejected', faults: error.issues.flatMap(describeTemplateIssue) }
  if (data.steps.length > 1)
    return rejected('steps', 'has more than one step; an appliance takes one operation at a time')
  const [step] = data.steps
  const action = step?.action.name ?? ''
  switch (action) {
    case 'Reboot':
      return { kind: 'operation', operation: { version: '1.0', operation: 'reboot' } }
    case 'Restart-Application':
      return restartApplication(step?.action.input?.args ?? [])
    default:
      return rejected(
        'steps[0].action.name',
        `"${action}" is not done here: ${insteadOf[action] ?? 'use an operation of the agent; the README lists them'}`,
      )
  }
}

function describeTemplateIssue(issue: z.core.$ZodIssue): readonly DocumentFault[] {
  const known = "is not as AWS's managed templates have it: steps[].action.{name,type,input}"
  const faults = describeIssue(issue)
  return issue.path[0] === 'steps'
    ? faults.map(({ path, message }) => ({ path, message: `${known}: ${message}` }))
    : faults
}

/** The template's one argument is a list of services, separated by commas. */
function restartApplication(args: readonly string[]): Read {
  const units = args.flatMap((arg) => arg.split(',')).map((unit) => unit.trim())
  const [unit] = units
  const { success, data } = unitName.safeParse(unit)
  if (success && units.length === 1) {
    return { kind: 'operation', operation: { version: '1.0', operation: 'restart-application', unit: data } }
  }
  return rejected('steps[0].action.input.args', 'must name one unit, as /etc/panorama-agent/allowed/restart-unit does')
}

function rejected(path: string, message: string): Read {
  return { kind: 'rejected', faults: [{ path, message }] }
}
