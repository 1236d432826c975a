import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { secondDomain } from '../cloud/second-domain.ts'
import { AgentProcess, type AgentProcessOptions } from './agent-process.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { startSquid, type Squid, type SquidOptions } from './squid.ts'
import { tempFolder } from './temp-folder.ts'

/** Names of the cloud that the proxy alone resolves. */
export const proxiedNames = (...more: readonly string[]): readonly string[] =>
  ['credentials', 'secretsmanager', 'logs', 'sts', 'mqtt', ...more].map((name) => `${name}.${secondDomain}`)

export interface ProxiedSite extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly squid: Squid
  readonly appliance: ApplianceFiles
  /** Of the proxy; `localhost` where it speaks TLS. */
  readonly url: string
  readonly password: string
  readonly passwordFile: string
  readonly start: (options?: Partial<AgentProcessOptions>) => AgentProcess
}

export interface ProxiedSiteOptions {
  /** Made from the URL of the proxy and the files with its credentials. */
  readonly network: (proxy: ProxyFiles) => Readonly<Record<string, unknown>>
  readonly tls?: SquidOptions['tls']
}

export interface ProxyFiles {
  readonly url: string
  readonly usernameFile: string
  readonly passwordFile: string
}

/** Whom the proxy lets in. */
export const proxyLogin = { username: 'appliance@dock', password: 'pw-Proxy:7Gk2 äß' }
const { username, password } = proxyLogin
const secretId = 'panorama/shared/dock-1'
const thingName = 'panorama_dock-1'

/** A cloud, and one appliance whose endpoints no resolver knows, behind a squid that does. */
export async function createProxiedSite({ network, tls }: ProxiedSiteOptions): Promise<ProxiedSite> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud())
  cloud.quotas.enforce(false)
  const { account, names } = cloud
  const accessPointHost = `${names.accessPoint}-${account}.s3`
  const squid = resources.use(
    await startSquid({
      username,
      password,
      names: proxiedNames(accessPointHost),
      ...(tls === undefined ? {} : { tls }),
    }),
  )
  const { path: folder } = resources.use(await tempFolder())
  const usernameFile = join(folder, 'proxy-username')
  const passwordFile = join(folder, 'proxy-password')
  await writeFile(usernameFile, `${username}\n`)
  await writeFile(passwordFile, `${password}\n`)
  await chmod(passwordFile, 0o600)
  const url = tls === undefined ? `http://127.0.0.1:${squid.port}` : `https://localhost:${squid.port}`
  const appliance = await createApplianceFiles({
    cloud,
    folder,
    thingName,
    config: {
      endpoints: secondNames(cloud),
      network: network({ url, usernameFile, passwordFile }),
      artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'model/', pollSeconds: 10 }],
      cameras: { refreshSeconds: 30, streams: [{ name: 'dock-1', secretId, probe: false }] },
    },
  })
  cloud.secrets.createSecret(secretId, JSON.stringify({ username: 'viewer', password: 'p', streamUrl: 'rtsp://c/1' }))
  await cloud.s3.putObject({ bucket: names.bucket, key: 'model/a', body: 'content' })
  const owned = resources.move()
  return {
    cloud,
    squid,
    appliance,
    url,
    password,
    passwordFile,
    start: (options = {}) => owned.use(new AgentProcess({ ...appliance, ...options })),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The URL of a proxy with credentials in it, as an environment has it. */
export function urlWithCredentials({ url, password: current }: Pick<ProxiedSite, 'url' | 'password'>): string {
  return url.replace('://', `://${encodeURIComponent(username)}:${encodeURIComponent(current)}@`)
}

/** The forms in which the proxy's password must be seen nowhere. */
export const proxySecrets: readonly string[] = [
  password,
  encodeURIComponent(password),
  Buffer.from(`${username}:${password}`).toString('base64'),
]

/** The endpoints of a cloud by names that the proxy alone resolves. */
export function secondNames({ endpoints }: IotCloud): Readonly<Record<string, string>> {
  const second = (name: string, address: string): string => `${name}.${secondDomain}:${address.split(':').at(-1) ?? ''}`
  const renamed = (url: string): string => url.replace('.localhost', `.${secondDomain}`)
  const { credentials, mqtt, s3, secretsManager, logs, sts } = endpoints
  return {
    credentials: second('credentials', credentials),
    mqtt: second('mqtt', mqtt),
    s3: renamed(s3),
    secretsManager: renamed(secretsManager),
    logs: renamed(logs),
    sts: renamed(sts),
  }
}
