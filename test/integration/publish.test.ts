import { createHash, randomBytes } from 'node:crypto'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

import { afterEach, describe, expect, test, vi } from 'vitest'

import { createS3ReleaseDestination } from '../../agent/aws/s3-release-destination.ts'
import { startCloud, type Cloud } from '../cloud/cloud.ts'
import { secondDomain } from '../cloud/second-domain.ts'
import { authorityExtensions, makeCertificate, serverExtensions } from '../support/certificates.ts'
import { Publisher } from '../support/publisher.ts'
import { startScriptedProxy } from '../support/scripted-proxy.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { signingKey } from '../support/signed-manifest.ts'

const dayMs = 86_400_000
const largeBytes = 20 * 1024 * 1024

test('uploads a large file in parts, an empty one too, and shows how far it is', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  await publisher.fill({ 'model.bin': randomBytes(largeBytes), empty: '' })
  const { code, stdout } = await publisher.publish()
  expect(code).toBe(0)
  expect(stdout).toMatch(/^uploaded \d+ %: [01] of 2 files, \d+ of 20971520 bytes$/m)
  expect(stdout).toMatch(/^uploaded 100 %: 2 of 2 files, 20971520 of 20971520 bytes$/m)
  expect(cloud.requests.count({ action: 'UploadPart' })).toBe(3)
  expect(cloud.s3.listUploads(cloud.names.bucket)).toEqual([])
  const keys = cloud.s3.listKeys(cloud.names.bucket)
  expect(keys).toHaveLength(3)
  expect(keys).toEqual(expect.arrayContaining([`app/objects/${sha256('')}`, 'app/release.jws']))
  const last = cloud.requests.list({ service: 's3' }).at(-1)
  expect(last).toMatchObject({ action: 'PutObject', path: '/app/release.jws' })
})

test('asks for four permissions, and says which policy to attach when one is missing', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  await publisher.fill({ 'model.bin': randomBytes(largeBytes) })
  expect((await publisher.publish()).code).toBe(0)
  expect([...cloud.requests.countByAction().keys()].sort()).toEqual([
    's3:CompleteMultipartUpload',
    's3:CreateMultipartUpload',
    's3:GetObject',
    's3:ListObjectsV2',
    's3:PutObject',
    's3:UploadPart',
  ])
  expect(cloud.requests.count({ status: 403 })).toBe(0)

  const session = { roleName: cloud.names.role, sessionName: 'appliance', durationSeconds: 900, context: {} }
  const { accessKeyId, secretAccessKey, sessionToken } = cloud.sessions.issue(session)
  publisher.setEnvironment({
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  })
  await publisher.fill({ other: 'x' })
  const { code, stderr } = await publisher.publish()
  expect(code).toBe(1)
  expect(stderr).toMatch(/s3:PutObject.*AccessDenied[^]*hint: attach config\/cloud\/publisher-policy\.json/)
})

test('says where credentials come from when there are none', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  publisher.setEnvironment({ AWS_ACCESS_KEY_ID: undefined, AWS_EC2_METADATA_DISABLED: 'true' })
  await publisher.fill({ model: 'x' })
  const { code, stderr } = await publisher.publish()
  expect(code).toBe(1)
  expect(stderr).toMatch(/[Cc]redentials/)
  expect(stderr).toMatch(/hint: .*aws configure/)
})

test('goes by the proxy of the environment, and nowhere past it', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  await using proxy = await startScriptedProxy()
  const { port } = new URL(cloud.endpoints.s3)
  const endpoint = `https://s3.${secondDomain}:${port}` // a name that no resolver knows
  await publisher.fill({ model: 'x' })
  publisher.setEnvironment({ HTTPS_PROXY: `http://127.0.0.1:${proxy.server.port}` })
  const { code, stderr } = await publisher.publish('--endpoint', endpoint)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(proxy.requests[0]).toMatch(new RegExp(`^CONNECT [a-z0-9-]+\\.s3\\.${secondDomain}:${port} `))
  publisher.setEnvironment({ HTTPS_PROXY: 'ftp://proxy.example' })
  expect((await publisher.publish()).stderr).toContain('HTTPS_PROXY of the environment is no URL of a proxy')
})

test('asks STS for its credentials by the proxy, too', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  await using proxy = await startScriptedProxy()
  const { port } = new URL(cloud.endpoints.sts)
  await publisher.fill({ model: 'x' })
  const keys = 'aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none'
  const role = `role_arn = arn:aws:iam::${cloud.account}:role/publisher\nsource_profile = base`
  const config = await publisher.write('config', `[profile base]\n${keys}\n[profile role]\n${role}\n`)
  publisher.setEnvironment({
    AWS_ACCESS_KEY_ID: undefined,
    AWS_CONFIG_FILE: config,
    AWS_PROFILE: 'role',
    AWS_ENDPOINT_URL_STS: `https://sts.${secondDomain}:${port}`,
    HTTPS_PROXY: `http://127.0.0.1:${proxy.server.port}`,
  })
  expect((await publisher.publish()).stderr).toContain('there are no AWS credentials to publish with')
  expect(proxy.requests[0]).toContain(`CONNECT sts.${secondDomain}:${port} `)
})

test.each([
  { what: 'of nobody', validDays: 1, code: /SELF_SIGNED|UNABLE/ },
  { what: 'of somebody whom the machine trusts, and out of date', validDays: -1, code: /CERT/ },
])('says what to do about a certificate $what', async ({ validDays, code: why }) => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  const nowMs = Date.now()
  const dates = { notBefore: new Date(nowMs - 9 * dayMs), notAfter: new Date(nowMs + validDays * dayMs) }
  const root = await makeCertificate({ commonName: 'Root', extensions: authorityExtensions() })
  const extensions = serverExtensions('*.s3.localhost')
  const certificate = await makeCertificate({ commonName: 's3', issuer: root, ...dates, extensions })
  await using server = await startScriptedServer({ certificate })
  await publisher.fill({ model: 'x' })
  const roots = validDays > 0 ? cloud.rootCaPem : root.pem
  publisher.setEnvironment({ NODE_EXTRA_CA_CERTS: await publisher.write('roots.pem', roots) })
  const { code, stderr } = await publisher.publish('--endpoint', `https://s3.localhost:${server.port}`)
  expect(code).toBe(1)
  expect(stderr).toMatch(/S3 is not trusted on this machine[^]*hint: .*NODE_EXTRA_CA_CERTS/)
  expect(stderr).toMatch(why)
  expect(stderr).not.toContain('identity.rootCa')
  expect(server.receivedBytes()).toBe(0)
})

test('takes one of two releases that are published at a time, and the other after it', async () => {
  await using cloud = await startCloud()
  await using publisher = await Publisher.open(cloud)
  await publisher.fill({ model: 'x' })
  const outcomes = await Promise.all([publisher.publish(), publisher.publish(), publisher.publish()])
  const good = outcomes.filter(({ code }) => code === 0).map(({ stdout }) => /sequence (\d+)/.exec(stdout)?.[1])
  expect(good.length).toBeGreaterThan(0)
  expect(new Set(good).size).toBe(good.length)
  for (const { code, stderr } of outcomes) if (code !== 0) expect(stderr).toContain('somebody else published')
  expect((await publisher.publish()).stdout).toContain(`sequence ${good.length + 1}`)
})

describe('refuses, before anything is uploaded,', () => {
  test.each<{ what: string; why: RegExp; prepare: (publisher: Publisher) => Promise<readonly string[]> }>([
    {
      what: 'a symbolic link',
      why: /release\/link is a symbolic link\nhint: .*cp -rL/,
      prepare: async (publisher) => {
        await symlink('/etc/passwd', join(publisher.folder, 'link'))
        return []
      },
    },
    {
      what: 'a folder without files',
      why: /holds no file/,
      prepare: async (publisher) => {
        await publisher.fill({})
        return []
      },
    },
    {
      what: 'names that appliances refuse',
      why: /"A" has a path that differs in case.*\nhint: rename the file/,
      prepare: async (publisher) => {
        await publisher.fill({ A: '1', a: '2' })
        return []
      },
    },
    { what: 'a key that is not there', why: /the key .*none\.pem cannot be read \(ENOENT\)/, prepare: keyAt },
    {
      what: 'a key that is none, without a word of it',
      why: /is no private key in PEM/,
      prepare: async (publisher) => ['--key', await publisher.write('key.pem', 'sEcReT')],
    },
    {
      what: 'a public key',
      why: /is no private key in PEM/,
      prepare: async (publisher) => ['--key', await publisher.write('key.pem', (await signingKey()).publicPem)],
    },
    {
      what: 'a prefix that ends in the middle',
      why: /--prefix must/,
      prepare: () => Promise.resolve(['--prefix', 'app']),
    },
    { what: 'a bucket', why: /--access-point must/, prepare: () => Promise.resolve(['--access-point', 'my-bucket']) },
    { what: 'a sequence of 0', why: /--sequence must/, prepare: () => Promise.resolve(['--sequence', '0']) },
  ])('$what', async ({ why, prepare }) => {
    await using cloud = await startCloud()
    await using publisher = await Publisher.open(cloud)
    await publisher.fill({ model: 'x' })
    const { code, stdout, stderr } = await publisher.publish(...(await prepare(publisher)))
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(why)
    expect(stderr).not.toContain('sEcReT')
    expect(cloud.requests.count()).toBe(0)
  })
})

describe('of a Panorama project', () => {
  const [image, descriptor] = ['image of a container', '{"runtimeDescriptor":{}}']
  const project = {
    'graphs/app/graph.json': '{"nodeGraph":{}}',
    [`assets/${sha256(image)}.tar.gz`]: image,
    [`assets/${sha256(descriptor)}.json`]: descriptor,
    'assets/left-over.bin': 'not named by a package',
    'packages/123456789012-CODE-1.0/package.json': packageJson(`${sha256(image)}.tar.gz`, `${sha256(descriptor)}.json`),
    'packages/123456789012-CODE-1.0/descriptor.json': descriptor,
    'packages/123456789012-CODE-1.0/src/main.py': 'print()',
    'packages/camera-1.0/package.json': '{"nodePackage":{"name":"camera","assets":[]}}',
  }

  test('publishes assets, packages and graphs, and nothing else', async () => {
    await using cloud = await startCloud()
    await using publisher = await Publisher.open(cloud)
    await publisher.fill(project)
    const { code, stdout, stderr } = await publisher.publish('--from-panorama')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(' 6 files,')
    expect(cloud.s3.listKeys(cloud.names.bucket)).toContain(`app/objects/${sha256(image)}`)
    expect(cloud.s3.listKeys(cloud.names.bucket)).not.toContain(`app/objects/${sha256('print()')}`)
  })

  test.each([
    {
      what: 'missing',
      change: { [`assets/${sha256(image)}.tar.gz`]: undefined },
      why: `lacks ${sha256(image)}.tar.gz`,
    },
    { what: 'damaged', change: { [`assets/${sha256(image)}.tar.gz`]: 'x' }, why: 'is not what the name says' },
    {
      what: 'elsewhere',
      change: { 'packages/camera-1.0/package.json': packageJson('../../etc/passwd', '') },
      why: 'names the asset "../../etc/passwd"',
    },
    {
      what: 'unknown, because a package.json is none',
      change: { 'packages/camera-1.0/package.json': '{"nodePackage":[]}' },
      why: 'is no package.json of Panorama',
    },
  ])('refuses an asset that is $what', async ({ change, why }) => {
    await using cloud = await startCloud()
    await using publisher = await Publisher.open(cloud)
    const files = Object.entries({ ...project, ...change }).filter(([, content]) => content !== undefined)
    await publisher.fill(Object.fromEntries(files) as Record<string, string>)
    const { code, stderr } = await publisher.publish('--from-panorama')
    expect(code).toBe(1)
    expect(stderr).toContain(why)
    expect(cloud.requests.count()).toBe(0)
  })
})

describe('the destination', () => {
  const usual = getCACertificates('default')
  afterEach(() => {
    setDefaultCACertificates(usual)
    vi.unstubAllEnvs()
  })

  test.each([{ bytes: 10 }, { bytes: largeBytes }])(
    'leaves nothing of a file of $bytes bytes that changed since it was looked at',
    async ({ bytes }) => {
      await using cloud = await startCloud()
      await using publisher = await Publisher.open(cloud)
      using destination = destinationOf(cloud)
      const file = join(publisher.folder, 'model')
      await mkdir(publisher.folder, { recursive: true })
      await writeFile(file, Buffer.alloc(bytes, 1))
      const upload = { key: 'objects/x', file, sizeBytes: bytes, sha256: sha256('something else') }
      const how = { signal: new AbortController().signal, onBytes: () => undefined }
      await expect(destination.upload(upload, how)).rejects.toThrow('changed while it was published')
      expect(cloud.s3.listKeys(cloud.names.bucket)).toEqual([])
      expect(cloud.s3.listUploads(cloud.names.bucket)).toEqual([])
    },
  )

  test('replaces only the manifest that was seen, and knows its own when the answer was lost', async () => {
    await using cloud = await startCloud()
    using destination = destinationOf(cloud)
    const { signal } = new AbortController()
    const put = async (text: string, etag?: string): Promise<string> =>
      await destination.replaceManifest(Buffer.from(text), etag, signal)
    expect(await put('one', '"of another"')).toBe('changed')
    expect(await put('one')).toBe('replaced')
    expect(await put('one')).toBe('replaced') // as after a try whose answer did not come
    expect(await put('two')).toBe('changed')
    expect(await put('t')).toBe('changed')
    const before = await destination.readManifest(100, signal)
    expect(before === 'absent' ? before : await put('two', before.etag)).toBe('replaced')
  })

  function destinationOf(cloud: Cloud) {
    const { accessKeyId, secretAccessKey, sessionToken } = cloud.signInPublisher()
    vi.stubEnv('AWS_ACCESS_KEY_ID', accessKeyId)
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretAccessKey)
    vi.stubEnv('AWS_SESSION_TOKEN', sessionToken)
    setDefaultCACertificates([cloud.rootCaPem])
    const { names, region, endpoints } = cloud
    const accessPoint = names.accessPointArn
    return createS3ReleaseDestination({
      accessPoint,
      prefix: 'app/',
      manifestPath: 'm',
      region,
      endpoint: endpoints.s3,
    })
  }
})

async function keyAt(publisher: Publisher): Promise<readonly string[]> {
  return await Promise.resolve(['--key', join(publisher.folder, 'none.pem')])
}

function packageJson(assetUri: string, descriptorUri: string): string {
  const implementations = [{ type: 'container', assetUri, descriptorUri }]
  return JSON.stringify({ nodePackage: { envelopeVersion: '2021-01-01', assets: [{ name: 'code', implementations }] } })
}

function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex')
}
