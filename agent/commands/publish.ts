import { manifestPath } from '../artifacts/release/release-manifest.ts'
import { createS3ReleaseDestination } from '../aws/s3-release-destination.ts'
import { AgentError } from '../lib/errors.ts'
import { operatorDialer } from '../composition/operator-way.ts'
import { readPublisherKey } from '../publishing/manifest-signature.ts'
import { readPanoramaProject } from '../publishing/panorama-project.ts'
import { publishRelease } from '../publishing/publish-release.ts'
import { readReleaseFolder } from '../publishing/release-folder.ts'
import type { CommandContext } from './command-context.ts'
import { progressWriter } from './publish-progress.ts'

/** As on the command line. */
export interface PublishCommand {
  readonly folder: string
  readonly accessPoint: string
  readonly prefix: string
  readonly name: string
  readonly key?: string
  /** Of the release, for people. */
  readonly version?: string
  readonly sequence?: string
  readonly fromPanorama?: boolean
  readonly region?: string
  readonly endpoint?: string
}

/** `panorama-agent publish FOLDER`: makes a folder the release that appliances have next. */
export async function publish(command: PublishCommand, { signal, stdout, service }: CommandContext): Promise<void> {
  const { accessPoint, prefix, name } = command
  const region = command.region ?? regionOf(accessPoint)
  if (!/^([^/].*\/)?$/.test(prefix))
    throw new AgentError('--prefix must be empty, or end with / and not start with one')
  const sequence = sequenceOf(command.sequence)
  const key = command.key === undefined ? undefined : await readPublisherKey(command.key)
  const read = command.fromPanorama === true ? readPanoramaProject : readReleaseFolder
  const files = await read(command.folder, signal)
  const nowMs = Date.now()
  const { endpoint } = command
  using destination = createS3ReleaseDestination({
    accessPoint,
    prefix,
    manifestPath,
    region,
    dialer: operatorDialer(service.proxy),
    ...(endpoint === undefined ? {} : { endpoint }),
  })
  const version = command.version ?? new Date(nowMs).toISOString()
  const onProgress = progressWriter(stdout)
  const options = { destination, files, name, version, key, sequence, nowMs, onProgress }
  const published = await publishRelease(options, signal)
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  stdout.write(
    `${name}: version ${version}, sequence ${published.sequence}, ${files.length} files, ${bytes} bytes, ` +
      `of which ${published.uploadedBytes} bytes were uploaded; ` +
      `${key === undefined ? 'not signed' : `signed with the key ${key.trusted.id}`}\n`,
  )
}

function regionOf(accessPoint: string): string {
  const region = /^arn:aws[a-z-]*:s3:([a-z0-9-]+):\d{12}:accesspoint[/:][a-z0-9-]+$/.exec(accessPoint)?.[1]
  if (region !== undefined) return region
  throw new AgentError(
    '--access-point must be the ARN of an S3 access point: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME',
  )
}

function sequenceOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const sequence = Number(text)
  if (Number.isSafeInteger(sequence) && sequence >= 1) return sequence
  throw new AgentError('--sequence must be a whole number from 1 on')
}
