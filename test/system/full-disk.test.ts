import { mkdir, appendFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { Appliance, isWell, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

/** A state folder of its own, as an appliance has a partition of its own for it. */
const smallDisk = {
  config: () => ({ downloads: { minFreeBytes: 0 } }),
  prepare: async (image: string) => {
    await mkdir(join(image, paths.state), { recursive: true })
    await appendFile(join(image, 'etc/fstab'), `tmpfs ${paths.state} tmpfs size=8m,nr_inodes=200 0 0\n`)
  },
}
const ballast = `${paths.state}/ballast`

it.each([
  ['bytes', `mkdir ${ballast} && dd if=/dev/zero of=${ballast}/zero bs=1M; true`],
  ['inodes', `mkdir ${ballast} && for n in $(seq 500); do touch ${ballast}/$n || break; done 2>/dev/null; true`],
])('stays up when the disk has no %s left, says so, and recovers without a restart when it has', async (_, fill) => {
  await using appliance = await Appliance.working(smallDisk)
  const { container, unit } = appliance
  const pid = await unit.mainPid()
  await container.run('sh', '-c', fill)
  await appliance.publish('big.bin', Buffer.alloc(500_000, 'x'))
  await appliance.write(`${paths.logs}/app.log`, 'written on a full disk\n')

  const { artifacts } = await appliance.until(({ artifacts: [artifact] }) => artifact?.state === 'failing')

  expect(artifacts[0]?.lastError?.message).toContain('no space is left')
  await pollUntil('systemctl tells of it', async () =>
    /^Failing: artifact model( and 1 more)?: .*no space is left/.test(await unit.property('StatusText')),
  )
  expect(await appliance.read(`${paths.current}/weights.bin`)).toBe('first weights')
  appliance.setPassword('second')
  await appliance.ask('refresh')
  expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'second' })
  await pollUntil('the line arrived', () => appliance.messages('app').includes('written on a full disk'))

  await container.run('rm', '-rf', ballast)
  await appliance.ask('sync')

  await appliance.until((status) => isWell(status) && status.artifacts[0]?.files === 2)
  expect(await unit.mainPid()).toBe(pid)
  expect(await unit.restarts()).toBe(0)
})
