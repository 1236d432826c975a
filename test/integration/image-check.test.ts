import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect, it } from 'vitest'

import { checkImage } from '../../scripts/image/check-image.ts'
import { startCloud } from '../cloud/cloud.ts'
import { tempFolder } from '../support/temp-folder.ts'

const configFile = '/etc/panorama-agent/config.json'
const rootCa = '/etc/panorama-agent/identity/root-ca.pem'
const claimCertificate = '/etc/panorama-agent/claim/certificate.pem'
const claimPrivateKey = '/etc/panorama-agent/claim/private.key'
const passwd = 'root:x:0:0::/root:/bin/sh\npanorama-agent:x:59001:59001::/:/bin/false\n'
const pem = await rootPem()

async function rootPem(): Promise<string> {
  await using cloud = await startCloud()
  return cloud.rootCaPem
}

/** An image without an identity, whose files belong to who runs this. */
async function makeImage(changes: Readonly<Record<string, unknown>> = {}) {
  const folder = await tempFolder()
  const put = async (path: string, text: string, mode = 0o644): Promise<void> => {
    const file = join(folder.path, path)
    await mkdir(dirname(file), { recursive: true, mode: 0o755 })
    await writeFile(file, text)
    await chmod(file, mode)
  }
  const base = {
    device: { region: 'us-west-2' },
    identity: { rootCa },
    endpoints: {
      credentials: 'c1.credentials.iot.us-west-2.amazonaws.com',
      mqtt: 'a1-ats.iot.us-west-2.amazonaws.com',
    },
    role: { alias: 'panorama-appliance' },
    provisioning: {},
  }
  await put('etc/passwd', passwd)
  await put('etc/group', 'panorama-agent:x:59001:\nvideo:x:59044:panorama-agent\ncerts:x:59045:\n')
  await put(rootCa, pem)
  await put(configFile, JSON.stringify({ ...base, ...changes }))
  return {
    ...folder,
    root: folder.path,
    put,
    check: (isClaimBrought = true) => checkImage({ root: folder.path, configFile, isClaimBrought }),
    /** Only the faults, as lines. */
    faults: async (isClaimBrought = true) =>
      (await checkImage({ root: folder.path, configFile, isClaimBrought }))?.faults.map(
        ({ path, message }) => `${path}: ${message}`,
      ),
  }
}

it('finds no fault in an image that is ready, and nothing where there is no configuration yet', async () => {
  await using image = await makeImage()
  expect(await image.check()).toEqual({ faults: [], warnings: [] })
  await using empty = await tempFolder()
  expect(await checkImage({ root: empty.path, configFile, isClaimBrought: true })).toBeUndefined()
})

it.each([
  { what: 'that is not JSON', text: '{', says: /^: is not JSON: / },
  { what: 'with a typo', text: '{"identity":{"rootCA":"/x"}}', says: /^identity\.rootCA: is not a known field$/m },
])('finds a configuration $what', async ({ text, says }) => {
  await using image = await makeImage()
  await image.put(configFile, text)
  expect((await image.faults())?.join('\n')).toMatch(says)
})

it('finds a claim that no appliance would use', async () => {
  await using without = await makeImage({
    provisioning: undefined,
    device: { region: 'us-west-2', thingName: 'dock-1' },
    identity: { rootCa, certificate: '/etc/c.pem', privateKey: '/etc/k.pem' },
  })
  expect(await without.faults()).toEqual(['provisioning: is missing: without it no appliance uses the claim'])
  await using own = await makeImage({
    device: { region: 'us-west-2', thingName: 'dock-1' },
    identity: { rootCa, certificate: '/etc/c.pem', privateKey: '/etc/k.pem' },
  })
  expect(await own.faults()).toEqual([expect.stringMatching(/^identity\.certificate: .*does not use the claim/)])
  await using elsewhere = await makeImage({ provisioning: { claimCertificate: '/data/claim.pem' } })
  expect(await elsewhere.faults()).toEqual([
    `provisioning.claimCertificate: is /data/claim.pem, and --claim puts it to ${claimCertificate}: leave it out`,
    'provisioning.claimCertificate: /data/claim.pem is not in the image',
  ])
})

it('warns of a claim and of an identity that are yet to come', async () => {
  await using image = await makeImage()
  const waits = 'is not in the image: without the claim (--claim) the agent waits until somebody provisions it'
  expect(await image.check(false)).toEqual({
    faults: [],
    warnings: [
      { path: 'provisioning.claimCertificate', message: `${claimCertificate} ${waits}` },
      { path: 'provisioning.claimPrivateKey', message: `${claimPrivateKey} ${waits}` },
    ],
  })
  await using serial = await makeImage({ provisioning: { serialNumberFile: '/data/serial' } })
  expect((await serial.check())?.warnings).toEqual([
    { path: 'provisioning.serialNumberFile', message: expect.stringContaining('nothing writes it') as string },
  ])
})

it('names every file that the configuration names and that is not in the image, or does not hold what it should', async () => {
  await using image = await makeImage({
    identity: { rootCa: '/etc/hostname' },
    cameras: { ca: '/etc/cameras.pem' },
    artifacts: [
      {
        name: 'people',
        accessPoint: 'arn:aws:s3:us-west-2:123456789012:accesspoint/panorama-1',
        trustedKeys: ['/etc/hostname', '/etc/publisher.pem'],
      },
    ],
    network: { proxy: { url: 'http://proxy:3128', usernameFile: '/etc/proxy-user', passwordFile: '/etc/proxy' } },
  })
  await image.put('etc/hostname', 'appliance\n')
  await image.put('etc/proxy-user', 'me\n')
  expect(await image.faults()).toEqual([
    expect.stringMatching(/^identity\.rootCa: \/etc\/hostname does not hold what it should: /),
    expect.stringMatching(/^artifacts\[0\]\.trustedKeys\[0\]: \/etc\/hostname does not hold what it should: /),
    'artifacts[0].trustedKeys[1]: /etc/publisher.pem is not in the image',
    'cameras.ca: /etc/cameras.pem is not in the image',
    'network.proxy.passwordFile: /etc/proxy is not in the image',
  ])
})

it('finds what the user of the service cannot read, and follows links as the image has them', async () => {
  await using image = await makeImage({ identity: { rootCa: '/etc/roots' }, cameras: { ca: '/etc/certs/roots.pem' } })
  await symlink('/opt/private/../private/roots.pem', join(image.root, 'etc/roots'))
  await image.put('opt/private/roots.pem', pem)
  await image.put('etc/certs/roots.pem', pem, 0o640)
  await chmod(join(image.root, 'opt/private'), 0o750)
  expect(await image.faults()).toEqual([
    'identity.rootCa: /opt/private cannot be read by panorama-agent',
    'cameras.ca: /etc/certs/roots.pem cannot be read by panorama-agent',
  ])
  await chmod(join(image.root, 'opt/private'), 0o755)
  await chmod(join(image.root, 'etc/certs/roots.pem'), 0o644)
  expect(await image.faults()).toEqual([])
  await chmod(join(image.root, configFile), 0o600)
  expect(await image.faults()).toEqual([`: ${configFile} cannot be read by panorama-agent`])
})

it.skipIf(process.getuid?.() !== 0)('knows the groups of the user, those of a drop-in too', async () => {
  await using image = await makeImage({ cameras: { ca: '/etc/roots.pem' } })
  const file = join(image.root, 'etc/roots.pem')
  await image.put('etc/roots.pem', pem, 0o640)
  await chown(file, 0, 59_044)
  expect(await image.faults()).toEqual([])
  await chown(file, 0, 59_045)
  expect(await image.faults()).toEqual(['cameras.ca: /etc/roots.pem cannot be read by panorama-agent'])
  const dropIn = 'etc/systemd/system/panorama-agent.service.d/groups.conf'
  await image.put(dropIn, '[Service]\nSupplementaryGroups=systemd-journal certs\n')
  expect(await image.faults()).toEqual([])
  await chown(file, 59_001, 0)
  expect(await image.faults()).toEqual([])
})

it('says that an image which does not have the user yet needs files that all may read', async () => {
  await using image = await makeImage()
  await image.put('etc/passwd', 'root:x:0:0::/root:/bin/sh\n')
  await chmod(join(image.root, 'etc/panorama-agent/identity'), 0o700) // the package gives it to the user
  expect(await image.faults()).toEqual([])
  await chmod(join(image.root, rootCa), 0o640)
  expect(await image.faults()).toEqual([
    `identity.rootCa: ${rootCa} cannot be read by panorama-agent, who the image does not have yet: only what all may read will do`,
  ])
})
