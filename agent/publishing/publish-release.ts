import {
  manifestPath,
  maxManifestBytes,
  maxManifestFiles,
  parseManifest,
  RefusedManifestError,
  type ReleaseManifest,
} from '../artifacts/release/release-manifest.ts'
import { unverifiedPayload, verifiedPayload } from '../artifacts/release/release-signature.ts'
import { AgentError } from '../lib/errors.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import { signManifest, type PublisherKey } from './manifest-signature.ts'
import type { PublishedManifest, ReleaseDestination, Upload } from './release-destination.ts'
import type { LocalFile } from './release-folder.ts'

export interface PublishOptions {
  readonly destination: ReleaseDestination
  readonly files: readonly LocalFile[]
  /** Of the artifact in the configuration of the appliances. */
  readonly name: string
  readonly version: string
  /** Without one, the manifest is not signed. */
  readonly key: PublisherKey | undefined
  /** Default: one above that of the manifest that is there. With one, that manifest is not looked at. */
  readonly sequence: number | undefined
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly onProgress: (progress: PublishProgress) => void
}

export interface PublishProgress {
  readonly files: number
  readonly totalFiles: number
  readonly bytes: number
  readonly totalBytes: number
}

export interface Published {
  readonly sequence: number
  readonly uploadedFiles: number
  readonly uploadedBytes: number
}

const objectsFolder = 'objects/'
const parallelUploads = 4

/**
 * Publishes a release: uploads the content that is not there yet, each under its sha256, and then replaces the manifest,
 * so that appliances see the release before or this one, whole. Objects of earlier releases stay. Throws an AgentError;
 * the manifest is as it was then.
 */
export async function publishRelease(options: PublishOptions, signal: AbortSignal): Promise<Published> {
  const { destination, files, name } = options
  if (files.length > maxManifestFiles) throw new AgentError(`a release has at most ${maxManifestFiles} files`)
  const before = await destination.readManifest(maxManifestBytes, signal)
  const sequence = await nextSequence(before, options)
  const jws = await manifestOf(sequence, options)
  const uploads = await missing(options, signal)
  const totalBytes = uploads.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  await uploadAll(uploads, { ...options, totalBytes }, signal)
  const etag = before === 'absent' ? undefined : before.etag
  const replaced = await destination.replaceManifest(jws, etag, signal)
  if (replaced === 'changed') {
    throw new AgentError(`somebody else published ${JSON.stringify(name)} meanwhile; the manifest is theirs`, {
      hint: 'publish again, if yours is the release that appliances shall have: what was uploaded is there already',
    })
  }
  return { sequence, uploadedFiles: uploads.length, uploadedBytes: totalBytes }
}

async function nextSequence(
  before: PublishedManifest | 'absent',
  { sequence, name, key }: PublishOptions,
): Promise<number> {
  if (sequence !== undefined) return sequence
  if (before === 'absent') return 1
  const found = await readBefore(before, key)
  if (found.name !== name) {
    throw new AgentError(`the prefix holds the releases of ${JSON.stringify(found.name)}`, {
      hint: `publish ${JSON.stringify(name)} below a prefix of its own`,
    })
  }
  return found.sequence + 1
}

/** A manifest that appliances would not believe is not taken for the last one. */
async function readBefore({ bytes }: PublishedManifest, key: PublisherKey | undefined): Promise<ReleaseManifest> {
  const jws = Buffer.from(bytes).toString('latin1')
  const claimed = claimedBy(jws)
  if (key === undefined) {
    if (claimed.isSigned) {
      throw new AgentError('the manifest that is there is signed, and this one would not be', {
        hint: 'publish with --key; or, if appliances need no signature any more, with --sequence as well',
      })
    }
    return parseManifest(unverifiedPayload(jws))
  }
  try {
    return parseManifest(await verifiedPayload(jws, [key.trusted]))
  } catch (error) {
    if (!(error instanceof RefusedManifestError)) throw error
    const next = claimed.sequence === undefined ? 'a number above all before' : String(claimed.sequence + 1)
    throw new AgentError(`the manifest that is there is not one that this key signed: ${error.message}`, {
      hint: `if that is right, as after a change of keys, publish with --sequence ${next}`,
    })
  }
}

function claimedBy(jws: string): { readonly isSigned: boolean; readonly sequence: number | undefined } {
  const isSigned = !jws.endsWith('.')
  try {
    return { isSigned, sequence: parseManifest(unverifiedPayload(jws)).sequence }
  } catch {
    return { isSigned, sequence: undefined }
  }
}

async function manifestOf(sequence: number, { files, name, version, nowMs, key }: PublishOptions): Promise<Uint8Array> {
  const manifest: ReleaseManifest = {
    schema: 1,
    name,
    sequence,
    version,
    createdAt: new Date(nowMs).toISOString(),
    files: files.map(({ path, sizeBytes, sha256, executable }) => ({
      path,
      key: `${objectsFolder}${sha256}`,
      size: sizeBytes,
      sha256,
      ...(executable ? { executable } : {}),
    })),
  }
  const payload = Buffer.from(JSON.stringify(manifest))
  parseManifest(payload) // what an appliance would refuse is not published
  const jws = Buffer.from(await signManifest(payload, key))
  if (jws.length <= maxManifestBytes) return jws
  throw new AgentError(`${manifestPath} would have more than ${maxManifestBytes} bytes`, {
    hint: 'publish fewer and larger files',
  })
}

/** Each content once. */
async function missing({ destination, files }: PublishOptions, signal: AbortSignal): Promise<readonly Upload[]> {
  const there = await destination.sizesBelow(objectsFolder, signal)
  const uploads = new Map<string, Upload>()
  for (const { file, sizeBytes, sha256 } of files) {
    const key = `${objectsFolder}${sha256}`
    if (there.get(key) !== sizeBytes) uploads.set(key, { key, file, sizeBytes, sha256 })
  }
  return [...uploads.values()]
}

async function uploadAll(
  uploads: readonly Upload[],
  { destination, onProgress, totalBytes }: PublishOptions & { readonly totalBytes: number },
  signal: AbortSignal,
): Promise<void> {
  let [files, bytes] = [0, 0]
  const report = (): void => {
    onProgress({ files, totalFiles: uploads.length, bytes, totalBytes })
  }
  await forEachConcurrent(uploads, parallelUploads, async (upload) => {
    const onBytes = (more: number): void => {
      bytes += more
      report()
    }
    await destination.upload(upload, { signal, onBytes })
    files += 1
    report()
  })
}
