import * as z from 'zod'

import { AgentError } from '../../lib/errors.ts'
import { schemaWords } from '../../lib/schema-words.ts'
import { parseStrictJson } from '../../lib/strict-json.ts'
import { checkPaths, RefusedKeyError } from './release-path.ts'
import type { WantedFile } from './wanted-release.ts'

/** Below the prefix of an artifact: a compact JWS (RFC 7515) whose payload is the manifest. */
export const manifestPath = 'release.jws'

/** Of the JWS. */
export const maxManifestBytes = 32 * 1024 * 1024
export const maxManifestFiles = 250_000

/** Four for each file that there may be, and enough levels for fields that come later. */
const bounds = { maxDepth: 16, maxContainers: 4 * maxManifestFiles }

const maxKeyBytes = 1024
const maxLabelLength = 256

const file = z.object({
  /** Where it goes in the release. */
  path: z.string(),
  /** Of its object, relative to the artifact's prefix. */
  key: z
    .string()
    .min(1)
    .refine((key) => Buffer.byteLength(key) <= maxKeyBytes, `must have at most ${maxKeyBytes} bytes`),
  size: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits in lower case'),
  executable: z.boolean().optional(),
  versionId: z.string().min(1).max(1024).optional(),
})

const envelope = z.object({
  schema: z.literal(1),
  /** Of the artifact that it is for, so that one signed for another is of no use here. */
  name: z.string().min(1).max(maxLabelLength),
  /** Rises with each manifest that is published under the name. */
  sequence: z.int().min(1),
  /** For people. */
  version: z.string().min(1).max(maxLabelLength),
  createdAt: z.iso.datetime(),
  files: z.array(z.unknown()).min(1, 'must name a file').max(maxManifestFiles),
})

export type ManifestFile = Readonly<z.infer<typeof file>>

/** What a publisher says that an artifact is. Fields that are not known here are left out. */
export interface ReleaseManifest extends Readonly<Omit<z.infer<typeof envelope>, 'files'>> {
  readonly files: readonly ManifestFile[]
}

/** A manifest that is not taken; the same bytes will be refused again. */
export class RefusedManifestError extends AgentError {
  override readonly name = 'RefusedManifestError'

  constructor(why: string, hint = 'publish the release again with this version of panorama-agent publish') {
    super(`the manifest ${manifestPath} is refused: ${why}`, {
      hint: `${hint}; the installed release stays until then`,
    })
  }
}

/** Reads the payload of a manifest. Throws a RefusedManifestError that says what is wrong with it. */
export function parseManifest(payload: Uint8Array): ReleaseManifest {
  const json = parseJson(payload)
  checkSchemaVersion(json)
  const { files, ...head } = checked(envelope, json, '')
  const parsed = files.map((each, index) => checked(file, each, `files[${index}].`))
  refuseWrongPaths(parsed)
  return { ...head, files: parsed }
}

/** What a manifest wants; `prefix` is the artifact's. */
export function wantedFromManifest({ files }: ReleaseManifest, prefix: string): readonly WantedFile[] {
  return files.map(({ path, key, size, sha256, executable = false, versionId }) => ({
    path,
    object: { key: `${prefix}${key}`, sizeBytes: size, ...(versionId === undefined ? {} : { versionId }) },
    promised: sha256,
    executable,
  }))
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(payload), bounds)
  } catch (error) {
    throw new RefusedManifestError(`its payload is no JSON that is read: ${messageOf(error)}`)
  }
}

/** First, because nothing else can be said of a manifest that comes from later than this agent. */
function checkSchemaVersion(json: unknown): void {
  if (typeof json !== 'object' || json === null || !('schema' in json) || json.schema === 1) return
  throw new RefusedManifestError(
    `its schema is ${JSON.stringify(json.schema).slice(0, 20)}, this agent knows 1`,
    'update the agent, or publish with the version of panorama-agent that the appliances run',
  )
}

/** Stops at the first fault: a list of all could be as long as the manifest. */
function checked<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value, { error: schemaWords })
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = `${where}${issue?.path.join('.') ?? ''}`.replace(/\.$/, '')
  throw new RefusedManifestError(`${path === '' ? 'the payload' : path}: ${issue?.message ?? 'is at fault'}`)
}

/** Here already, because a manifest names its files by path and not by key. */
function refuseWrongPaths(files: readonly ManifestFile[]): void {
  try {
    checkPaths(files.map(({ path }) => ({ key: path, path })))
  } catch (error) {
    if (error instanceof RefusedKeyError) throw new RefusedManifestError(error.message)
    throw error
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
