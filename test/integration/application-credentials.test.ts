import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { describe, expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { Cloud } from '../cloud/cloud.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { readEnvFile } from '../support/env-file.ts'
import { freePort } from '../support/free-port.ts'
import { LocalAppliance } from '../support/local-agent.ts'
import { httpGet, type HttpReply } from '../support/http-get.ts'
import { listenForNotify } from '../support/notify-socket.ts'
import { runCommand } from '../support/run-command.ts'
import { SdkProcess } from '../support/sdk-process.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'
import { sdkOptions } from './cloud/sdk-options.ts'

const name = 'people-counter'
const group = execFileSync('id', ['-gn']).toString().trim()
/** Debian's, which knows the token in the environment alone; where another one is in front in PATH, that is not it. */
const awscli = '/usr/bin/aws'
const noAwscli = await access(awscli).then(
  () => undefined,
  () => `there is no ${awscli}: apt-get install awscli`,
)
if (noAwscli !== undefined) console.log(`skipped, because ${noAwscli}`)

interface Place extends AsyncDisposable {
  readonly site: AgentSite
  readonly port: number
  /** `<runtime>/applications` */
  readonly folder: string
  /** Replaces sections of the configuration file. */
  readonly configure: (sections: object) => Promise<void>
  readonly application: (change?: object) => Readonly<Record<string, unknown>>
}

/** A site whose cloud has a role for the application, with the sections of its configuration; no agent runs yet. */
async function place(): Promise<Place> {
  await using owned = new AsyncDisposableStack()
  const port = await freePort()
  const site = owned.use(await createAgentSite({ config: () => ({ artifacts: [], cameras: {} }) }))
  const { certificateId, config, configFile, runtimeFolder } = site.appliance
  await site.cloud.createApplication({ name, certificateId })
  const application = (change: object = {}): Readonly<Record<string, unknown>> => ({
    name,
    roleAlias: name,
    group,
    ...change,
  })
  const configure = async (sections: object): Promise<void> => {
    const all = { ...config, applicationCredentials: { port }, applications: [application()], ...sections }
    await writeFile(configFile, JSON.stringify(all))
  }
  await configure({})
  const kept = owned.move()
  const folder = join(runtimeFolder, 'applications')
  return { site, port, folder, configure, application, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

function isServed({ applications }: StatusDocument): boolean {
  return (
    applications.length > 0 && applications.every(({ state, expiresAt }) => state === 'ok' && expiresAt !== undefined)
  )
}

/** The environment that an application is started with, and how it finds the local cloud. */
async function environment({ site, folder }: Place, application = name): Promise<Readonly<Record<string, string>>> {
  const { cloud } = site
  const roots = join(site.folder, 'cloud-root.pem')
  await writeFile(roots, cloud.rootCaPem)
  const services = { STS_ENDPOINT: stsEndpoint(cloud), NODE_EXTRA_CA_CERTS: roots, AWS_CA_BUNDLE: roots }
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: site.folder,
    ...services,
    ...(await readEnvFile(join(folder, application, 'aws.env'))),
  }
}

async function ask({ port, folder }: Place, application = name): Promise<number | string> {
  const authorization = await readFile(join(folder, application, 'token'), 'utf8').catch(() => '')
  return await httpGet(port, { path: `/v1/applications/${application}`, headers: { authorization } }).then(
    ({ status }) => status,
    (error: unknown) => String(error),
  )
}

/** Where clients find STS whose resolver knows no names below localhost. */
function stsEndpoint({ endpoints }: Cloud): string {
  return endpoints.sts.replace('sts.localhost', 'localhost')
}

function arnOf(site: AgentSite, application = name): string {
  const { certificateId } = site.appliance
  return `arn:aws:sts::${site.cloud.account}:assumed-role/application-${application}/${certificateId}`
}

describe('an application with nothing but its aws.env', () => {
  it('is its own role in the SDK for JavaScript, and goes on by itself when the agent is killed and restarted', async () => {
    await using here = await place()
    const { roleAliases, roles } = here.site.cloud
    // the SDK asks anew from five minutes before the end on: at each request here
    const roleArn = roles.arnOf(`application-${name}`)
    roleAliases.put({ name, roleArn, credentialDurationSeconds: 240, unsafe: true })
    const killed = here.site.start()
    await killed.until(isServed)
    await using application = new SdkProcess(await environment(here))
    expect(await application.whoAmI()).toEqual({ arn: arnOf(here.site) })
    const before = await readFile(join(here.folder, name, 'token'), 'utf8')
    killed.kill('SIGKILL')
    await exitOf(killed)
    expect(await readFile(join(here.folder, name, 'token'), 'utf8')).toBe(before)
    expect(await application.whoAmI()).toEqual({ arn: arnOf(here.site) })

    const restarted = here.site.start()
    await restarted.until(isServed)
    expect(await readFile(join(here.folder, name, 'token'), 'utf8')).toBe(before)
    await waitUntil('the process is served by the agent that runs now', async () => {
      expect(await application.whoAmI()).toEqual({ arn: arnOf(here.site) })
      return ((await restarted.status()).applications[0]?.served ?? 0) > 0
    })
  })

  it.skipIf(noAwscli !== undefined)("is its own role in Debian's awscli", async () => {
    await using here = await place()
    await here.site.start().until(isServed)
    const args = ['sts', 'get-caller-identity', '--endpoint-url', stsEndpoint(here.site.cloud), '--output', 'json']
    const { stdout } = await runCommand(awscli, args, { env: { ...(await environment(here)), PATH: '/usr/bin:/bin' } })
    expect(JSON.parse(stdout)).toMatchObject({ Arn: arnOf(here.site), Account: here.site.cloud.account })
  })

  it('cannot do what the appliance can', async () => {
    await using here = await place()
    const { cloud } = here.site
    here.site.setPassword('camera-password')
    await here.site.start().until(isServed)
    const authorization = await readFile(join(here.folder, name, 'token'), 'utf8')
    const { body } = await httpGet(here.port, { path: `/v1/applications/${name}`, headers: { authorization } })
    const { AccessKeyId, SecretAccessKey, Token } = body
    const credentials = {
      accessKeyId: String(AccessKeyId),
      secretAccessKey: String(SecretAccessKey),
      sessionToken: String(Token),
      expiration: new Date(Date.now() + 3_600_000),
    }
    using client = disposable(new SecretsManagerClient(sdkOptions(cloud, credentials, cloud.endpoints.secretsManager)))
    const read = client.it.send(new GetSecretValueCommand({ SecretId: 'panorama/shared/dock-1' }))
    await expect(read).rejects.toThrow('not authorized')
  })
})

describe('the agent', () => {
  it('listens on no port while no application is configured, and begins and ends to at a reload', async () => {
    await using here = await place()
    await here.configure({ applications: [] })
    const agent = here.site.start()
    await agent.until(({ logs }) => logs.state === 'ok')
    expect(await ask(here)).toMatch(/ECONNREFUSED/)
    await here.configure({})
    agent.kill('SIGHUP')
    await agent.until(isServed)
    expect(await ask(here)).toBe(200)
    await here.configure({ applications: [] })
    agent.kill('SIGHUP')
    await agent.until(({ applications }) => applications.length === 0)
    await waitUntil('the port is closed', async () => String(await ask(here)).includes('ECONNREFUSED'))
    expect(await readdir(here.site.appliance.runtimeFolder)).not.toContain('applications')
  })

  it('has the files of all applications there when it says that it is ready, without network too', async () => {
    await using here = await place()
    const names = Array.from({ length: 12 }, (_, index) => `application-${index}`)
    await here.configure({
      applications: [...names.map((each) => here.application({ name: each, roleAlias: each })), here.application()],
    })
    await here.site.cloud.unreachable()
    const address = join(here.site.folder, 'notify')
    using socket = listenForNotify(address)
    const agent = here.site.start({ env: { NOTIFY_SOCKET: address } })
    await waitUntil('READY=1 is told', () => socket.take().flat().includes('READY=1'))
    expect(existsSync(join(here.folder, name, 'aws.env'))).toBe(true)
    expect(await ask(here)).toBe(503)
    await here.site.cloud.reachable()
    await agent.until((status) => isServed({ ...status, applications: status.applications.slice(-1) }), 90_000)
    expect(await ask(here)).toBe(200)
  }, 120_000)

  it('serves an unchanged application through reloads of generation and session without a refused request', async () => {
    await using here = await place()
    const { certificateId, config } = here.site.appliance
    await here.site.cloud.createApplication({ name: 'gate', certificateId })
    const agent = here.site.start()
    await agent.until(isServed)
    const answers = new Map<number | string, number>()
    const end = new AbortController()
    const asking = (async () => {
      while (!end.signal.aborted) {
        const answer = await ask(here)
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    const both = [here.application(), here.application({ name: 'gate', roleAlias: 'gate' })]
    await here.configure({ applications: both })
    agent.kill('SIGHUP')
    await agent.until((status) => status.applications.length === 2 && isServed(status))
    const fetched = here.site.cloud.requests.count({ service: 'credentials' })
    await here.configure({ applications: both, cameras: { refreshSeconds: 31 } })
    agent.kill('SIGHUP')
    await waitUntil('the reload', () => agent.output.split('configuration is read anew').length === 3)
    await agent.until(isServed)
    expect(here.site.cloud.requests.count({ service: 'credentials' })).toBe(fetched)
    const device = { ...(config['device'] as object), name: 'renamed' }
    await here.configure({ applications: both, device })
    agent.kill('SIGHUP')
    await agent.until((status) => status.device.name === 'renamed' && isServed(status))
    await waitUntil('enough is asked for', () => (answers.get(200) ?? 0) > 5)
    end.abort()
    await asking
    expect([...answers.keys()].filter((answer) => answer !== 503)).toEqual([200])
  })

  it('takes a changed role alias and a removed application into use at a reload', async () => {
    await using here = await place()
    const { certificateId } = here.site.appliance
    await here.site.cloud.createApplication({ name: 'gate', certificateId })
    const agent = here.site.start()
    await agent.until(isServed)
    await here.configure({ applications: [here.application({ roleAlias: 'gate' })] })
    agent.kill('SIGHUP')
    await agent.until(
      (status) => isServed(status) && status.applications[0]?.role?.endsWith('/application-gate') === true,
    )
    await using application = new SdkProcess(await environment(here))
    expect(await application.whoAmI()).toEqual({ arn: arnOf(here.site, 'gate') })
    await here.configure({ applications: [here.application({ name: 'other', roleAlias: 'gate' })] })
    agent.kill('SIGHUP')
    await agent.until((status) => isServed(status) && status.applications[0]?.name === 'other')
    await waitUntil('it is served', async () => (await ask(here, 'other')) === 200)
    expect(await readdir(here.folder)).toEqual(['other'])
    expect(await ask(here)).toBe(401)
  })

  it('serves without network what it holds until that ends, and then says what is wrong', async () => {
    const port = await freePort()
    await using appliance = await LocalAppliance.open({
      config: () => ({ applicationCredentials: { port }, applications: [{ name, roleAlias: name, group }] }),
    })
    const { cloud, files } = appliance
    await cloud.createApplication({ name, certificateId: files.certificateId })
    const roleArn = cloud.roles.arnOf(`application-${name}`)
    cloud.roleAliases.put({ name, roleArn, credentialDurationSeconds: 4, unsafe: true })
    await using agent = await appliance.start()
    await waitUntil('it is served', async () => isServed(await agent.status()))
    await cloud.unreachable()
    const headers = { authorization: await readFile(join(files.runtimeFolder, 'applications', name, 'token'), 'utf8') }
    const reply = async (): Promise<HttpReply> => await httpGet(port, { path: `/v1/applications/${name}`, headers })
    const { status, body } = await reply()
    expect(status).toBe(200)
    const endMs = Date.parse(String(body['Expiration']))
    await waitUntil('the credentials have ended', async () => {
      const askedMs = Date.now()
      if ((await reply()).status === 200) return false
      expect(askedMs).toBeGreaterThanOrEqual(endMs - 2_000) // the end is served in whole seconds
      return true
    })
    await waitUntil('it says why', async () => {
      const message = String((await reply()).body['message'])
      return /has no credentials now: .*ECONNREFUSED.*\(check the network/.test(message)
    })
    expect((await agent.status()).applications[0]).toMatchObject({
      state: 'failing',
      lastError: { name: 'CredentialsError' },
    })
    expect((await agent.status()).applications[0]?.expiresAt).toBeUndefined()
  })

  it('reports a port that another process has, goes on with all else, and takes it once it is free', async () => {
    await using here = await place()
    const other = createServer().listen(here.port, '127.0.0.1')
    await once(other, 'listening')
    const agent = here.site.start()
    const { applications } = await agent.until(
      (status) => status.applications[0]?.state === 'failing' && status.logs.state === 'ok',
    )
    expect(applications[0]?.lastError).toMatchObject({
      message: expect.stringMatching(/another process has it/) as unknown,
      hint: expect.stringMatching(/applicationCredentials\.port/) as unknown,
    })
    other.close()
    await once(other, 'close')
    await agent.until(isServed)
    expect(await ask(here)).toBe(200)
  })

  it('serves no role alias that leads to the role of the appliance', async () => {
    await using here = await place()
    const { cloud } = here.site
    cloud.roleAliases.put({ name, roleArn: cloud.roles.arnOf(cloud.names.role) })
    const agent = here.site.start()
    const { applications } = await agent.until((status) => status.applications[0]?.state === 'failing')
    expect(applications[0]?.lastError?.message).toContain('leads to the role of the appliance itself')
    expect(applications[0]?.expiresAt).toBeUndefined()
    expect(await ask(here)).toBe(503)
  })

  it('serves no role of which STS cannot be asked, and says what is missing', async () => {
    await using here = await place()
    const error = { kind: 'error', status: 503, code: 'ServiceUnavailable' } as const
    using faults = new DisposableStack()
    faults.use(here.site.cloud.faults.inject(error, { service: 'sts' }))
    const agent = here.site.start()
    const { applications } = await agent.until((status) => status.applications[0]?.state === 'failing')
    expect(applications[0]?.lastError).toMatchObject({
      message: expect.stringContaining('cannot be known') as unknown,
      hint: expect.stringContaining('let the appliance reach STS') as unknown,
    })
    expect(await ask(here)).toBe(503)
    faults.dispose()
    await agent.until(isServed)
    expect(await ask(here)).toBe(200)
  })
})

function disposable<T extends { readonly destroy: () => void }>(it: T): { readonly it: T } & Disposable {
  return {
    it,
    [Symbol.dispose]() {
      it.destroy()
    },
  }
}
