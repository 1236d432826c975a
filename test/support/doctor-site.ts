import { mkdir, writeFile } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'

import { doctor } from '../../agent/commands/doctor.ts'
import type { DoctorReport, Finding } from '../../agent/doctor/doctor-check.ts'
import type { RunProgram } from '../../agent/doctor/run-program.ts'
import { startIotCloud, type IotCloud, type IotCloudOptions } from '../cloud/iot/iot-cloud.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { outputStream } from './output-stream.ts'
import { startRtspCamera, type RtspCamera } from './rtsp-camera.ts'
import { tempFolder } from './temp-folder.ts'

/** A local cloud with AWS IoT Core, an appliance of every kind of entry, and a camera; no agent runs. */
export interface DoctorSite extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly files: ApplianceFiles
  readonly camera: RtspCamera
  /** Runs the command; what it printed, and what it threw. */
  readonly run: (options?: DoctorRunOptions) => Promise<DoctorRun>
}

export interface DoctorRunOptions {
  readonly configFile?: string
  readonly json?: boolean
  readonly run?: RunProgram
  readonly signal?: AbortSignal
  /** In the place of port 80. */
  readonly portalPort?: number
  readonly answerWithinMs?: number
  readonly lookup?: LookupFunction
}

export interface DoctorRun {
  readonly text: string
  readonly error: unknown
  /** Of a run with `json`, by id. */
  readonly findings: ReadonlyMap<string, Finding>
}

const doctorThing = 'appliance-a'
export const doctorPassword = 'pw-Doctor_4Kq9'
const secretId = `panorama/${doctorThing}/dock-1`

/** What a machine without systemd answers. */
const noSystemd: RunProgram = () =>
  Promise.resolve({ exitCode: undefined, errorCode: 'ENOENT', stdout: '', stderr: '' })

export async function createDoctorSite(options: IotCloudOptions = {}): Promise<DoctorSite> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud(options))
  cloud.quotas.enforce(false)
  const camera = resources.use(await startRtspCamera({ username: 'viewer', password: doctorPassword }))
  const { path: folder } = resources.use(await tempFolder())
  const files = await createApplianceFiles({ cloud, folder, thingName: doctorThing, config: workers(cloud) })
  await mkdir(files.stateFolder)
  cloud.secrets.createSecret(
    secretId,
    JSON.stringify({ username: 'viewer', password: doctorPassword, streamUrl: camera.streamUrl }),
  )
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'app/model', body: 'one' })
  const owned = resources.move()
  return {
    cloud,
    files,
    camera,
    run: (how) => runDoctor(files, how),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Runs the command with a configuration. */
export async function runDoctor(
  files: Pick<ApplianceFiles, 'configFile'>,
  options: DoctorRunOptions = {},
): Promise<DoctorRun> {
  const { configFile = files.configFile, json = true, run = noSystemd, portalPort, answerWithinMs, lookup } = options
  const given = { portalPort, answerWithinMs, lookup }
  const overrides = { run, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
  const signal = options.signal ?? new AbortController().signal
  const [stdout, stderr] = [outputStream(), outputStream()]
  const context = { signal, stdout, stderr, service: {}, onHangup: () => undefined }
  const error: unknown = await doctor({ configFile, json, overrides }, context).catch((thrown: unknown) => thrown)
  const text = stdout.text()
  const { findings } = json && text !== '' ? (JSON.parse(text) as DoctorReport) : { findings: [] }
  return { text, error, findings: new Map(findings.map((finding) => [finding.id, finding])) }
}

/** A configuration of its own, so that each test breaks one thing for itself. */
export async function variant(
  site: DoctorSite,
  name: string,
  sections: Readonly<Record<string, unknown>>,
): Promise<string> {
  const path = join(site.files.stateFolder, '..', `${name}.json`)
  await writeFile(path, JSON.stringify({ ...site.files.config, ...sections }))
  return path
}

/** The ids of the findings of a level. */
export function levels({ findings }: DoctorRun, level: string): readonly string[] {
  return [...findings.values()].filter((finding) => finding.level === level).map(({ id }) => id)
}

function workers({ names }: IotCloud): Readonly<Record<string, unknown>> {
  return {
    artifacts: [{ name: 'app', accessPoint: names.accessPointArn, prefix: 'app/' }],
    downloads: { minFreeBytes: 0 },
    cameras: { streams: [{ name: 'dock-1', secretId }] },
  }
}
