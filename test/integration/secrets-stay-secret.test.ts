import { execFileSync } from 'node:child_process'
import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import type { Cloud } from '../cloud/cloud.ts'
import { secondDomain } from '../cloud/second-domain.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { freePort } from '../support/free-port.ts'
import { httpGet } from '../support/http-get.ts'
import { startRtspCamera } from '../support/rtsp-camera.ts'
import { runCommand } from '../support/run-command.ts'
import { startScriptedProxy } from '../support/scripted-proxy.ts'
import { agentCommand, type AgentProcess } from '../support/agent-process.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const application = 'people-counter'

type Places = ReadonlyMap<string, string>

it('shows no password, token or key anywhere but in the files of cameras and applications and the identity', async () => {
  const port = await freePort()
  await using proxy = await startScriptedProxy()
  const proxyUrl = `http://127.0.0.1:${proxy.server.port}`
  await using site = await createAgentSite({ config: (places) => verbose({ ...places, port, proxyUrl }) })
  await writeFile(join(site.folder, 'proxy-username'), 'dock-1\n')
  await writeFile(join(site.folder, 'proxy-password'), 'pw-Proxy_4Wm7\n')
  const { cloud } = site
  await cloud.createApplication({ name: application, certificateId: site.appliance.certificateId })
  const issued: string[] = []
  const basic = Buffer.from('dock-1:pw-Proxy_4Wm7').toString('base64')
  const issue = cloud.sessions.issue.bind(cloud.sessions)
  cloud.sessions.issue = (options) => {
    const credentials = issue(options)
    issued.push(credentials.secretAccessKey, credentials.sessionToken)
    return credentials
  }
  const passwords = ['pw-First_7Gk2', 'pw-Second@9Lm4', 'pw-Broken_5Tr1', 'pw-Denied_3Qx8', 'pw-Proxy_4Wm7']
  const asked = ['pw-Probed_8Nd6', 'pw-Refused_2Hv9']
  await using camera = await startRtspCamera({ username: 'u', password: 'pw-Probed_8Nd6' })
  const ofCamera = (password: string): string =>
    JSON.stringify({ username: 'u', password, streamUrl: camera.streamUrl })
  await site.publish('a', 'content')
  site.setPassword('pw-First_7Gk2')
  cloud.secrets.createSecret('panorama/shared/broken', '{"username":"u","password":"pw-Broken_5Tr1')
  cloud.secrets.createSecret('elsewhere/denied', '{"username":"u","password":"pw-Denied_3Qx8"}')
  cloud.secrets.createSecret('panorama/shared/probed', ofCamera('pw-Probed_8Nd6'))
  await appendFile(join(site.appliance.logsFolder, 'app.log'), 'one line\n')
  const agent = site.start({ env: { NODE_DEBUG: '' } })
  const places = new Map<string, string>()
  await agent.until(({ artifacts: [artifact], cameras, applications }) => {
    if (applications[0]?.expiresAt === undefined) return false
    return artifact?.state === 'ok' && cameras.map(({ state }) => state).join() === 'ok,failing,failing,ok'
  })
  const files = join(site.appliance.runtimeFolder, 'applications', application)
  const authorization = await readFile(join(files, 'token'), 'utf8')
  const wrong = `${authorization.slice(0, -1)}!`
  for (const each of [authorization, wrong]) await ask(port, each)
  await collect(site, agent, { places, when: 'at work' })
  await waitUntil('CloudWatch has the log of the start', () => cloudWatchText(site).includes('agent is ready'))

  site.setPassword('pw-Second@9Lm4')
  cloud.secrets.rotateSecret('panorama/shared/probed', ofCamera('pw-Refused_2Hv9'))
  await command(site, ['refresh', 'dock-1'], places)
  await command(site, ['refresh', 'probed'], places)
  await command(site, ['refresh', 'broken'], places)
  await command(site, ['refresh', 'denied'], places)
  await command(site, ['status'], places)
  await command(site, ['doctor'], places)
  await command(site, ['doctor', '--json'], places)
  await command(site, ['logs', '--json'], places)
  cloud.sessions.invalidateAll()
  await site.sync()
  await cloud.unreachable()
  await site.sync()
  await command(site, ['refresh'], places)
  await collect(site, agent, { places, when: 'offline' })
  await cloud.reachable()
  // credentials are renewed 30 s after the last time at the earliest, then what waits for them goes on
  await waitUntil('CloudWatch has the log of the outage', () => cloudWatchText(site).includes('ECONNREFUSED'), 100_000)
  agent.kill('SIGTERM')
  expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  places.set('output', agent.output)
  places.set('CloudWatch', cloudWatchText(site))
  await addFiles(places, site.appliance.stateFolder, 'at the end')

  const privateKey = await readFile(join(site.appliance.identityFolder, 'private.key'), 'utf8')
  const keyLines = privateKey.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'))
  expect(issued.length).toBeGreaterThanOrEqual(4)
  expect(keyLines.length).toBeGreaterThanOrEqual(1)
  const secrets = [...passwords, basic, ...asked, ...issued, ...keyLines, authorization, wrong]
  expect(placesOf(secrets, places)).toEqual([])

  expect(proxy.requests[0]).toContain(basic)
  expect(camera.attempts()).toEqual({ accepted: 2, refused: 1 }) // the one in the file, again after the refusal
  expect([...places.keys()].filter((place) => place.includes('refusals.json')).length).toBeGreaterThan(0)
  expect([...places.keys()].join('\n')).toMatch(/cmdline[^]*environ[^]*output/)
  expect([...places.keys()].filter((place) => place.includes('/current/a at the end'))).toHaveLength(1)
  const empty = [...places].filter(([, text]) => text === '').map(([place]) => place)
  expect(empty.filter((place) => !/^lock\b|\/lock\b/.test(place))).toEqual([])
  const identity = new Map([['identity', privateKey]])
  expect(placesOf(keyLines, identity)).toHaveLength(keyLines.length)
  const applicationFiles = new Map(
    await Promise.all(
      ['token', 'aws.env'].map(async (file) => [file, await readFile(join(files, file), 'utf8')] as const),
    ),
  )
  expect(placesOf([authorization], applicationFiles)).toHaveLength(2)
  const cameraFile = new Map([['camera', await readFile(site.cameraFile, 'latin1')]])
  expect(placesOf(passwords, cameraFile)).toEqual(['pw-Second@9Lm4 in camera'])
}, 150_000)

async function ask(port: number, authorization: string): Promise<void> {
  await httpGet(port, { path: `/v1/applications/${application}`, headers: { authorization } })
}

interface Verbose {
  readonly folder: string
  readonly cloud: Cloud
  readonly port: number
  readonly proxyUrl: string
}

/** CloudWatch Logs alone are behind the proxy. */
function verbose({ folder, cloud: { endpoints }, port, proxyUrl }: Verbose): Record<string, unknown> {
  const streams = [
    { name: 'dock-1', secretId: 'panorama/shared/dock-1', probe: false },
    { name: 'broken', secretId: 'panorama/shared/broken' },
    { name: 'denied', secretId: 'elsewhere/denied' },
    { name: 'probed', secretId: 'panorama/shared/probed' },
  ]
  const sources = [{ kind: 'file', path: join(folder, 'logs', '*.log') }]
  return {
    endpoints: { ...endpoints, logs: endpoints.logs.replace('.localhost', `.${secondDomain}`) },
    network: {
      proxy: {
        url: proxyUrl,
        usernameFile: join(folder, 'proxy-username'),
        passwordFile: join(folder, 'proxy-password'),
      },
    },
    logs: { flushSeconds: 1, level: 'debug', sources },
    cameras: { refreshSeconds: 30, streams },
    applicationCredentials: { port },
    applications: [{ name: application, roleAlias: application, group: execFileSync('id', ['-gn']).toString().trim() }],
  }
}

/** Where each secret, in plain, in URL encoding, in JSON or in Base64, is found. */
function placesOf(secrets: readonly string[], places: Places): readonly string[] {
  return secrets.flatMap((secret) => {
    const spellings = [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    ]
    const found = [...places].filter(([, text]) => spellings.some((spelling) => text.includes(spelling)))
    return found.map(([place]) => `${secret} in ${place}`)
  })
}

async function collect(
  site: AgentSite,
  agent: AgentProcess,
  { places, when }: { readonly places: Map<string, string>; readonly when: string },
): Promise<void> {
  for (const name of ['cmdline', 'environ']) {
    places.set(`${name} ${when}`, await readFile(`/proc/${agent.pid}/${name}`, 'latin1'))
  }
  places.set(`status ${when}`, JSON.stringify(await agent.status()))
  await addFiles(places, site.appliance.stateFolder, when)
}

async function addFiles(places: Map<string, string>, folder: string, when: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const text = await readFile(path, 'latin1').catch(() => undefined) // the agent is at work: some were just moved
    if (text !== undefined) places.set(`${path} ${when}`, text)
  }
}

async function command({ appliance }: AgentSite, args: readonly string[], places: Map<string, string>): Promise<void> {
  const [node = '', ...script] = agentCommand
  const printed = await runCommand(node, [...script, ...args, '--config', appliance.configFile]).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: unknown) => String(error),
  )
  places.set(`${args.join(' ')} number ${places.size}`, printed)
}

function cloudWatchText({ cloud: { logs } }: AgentSite): string {
  const streams = logs
    .groups()
    .flatMap((group) => logs.streams(group.name).map((stream) => [group.name, stream.name] as const))
  return streams.flatMap(([group, stream]) => logs.events(group, stream).map(({ message }) => message)).join('\n')
}
