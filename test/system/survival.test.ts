import { expect, inject, it } from 'vitest'

import { tempFolder } from '../support/temp-folder.ts'
import { Appliance, isWell, paths } from './support/appliance.ts'
import { startReader } from './support/file-reader.ts'
import { repack } from './support/package-build.ts'
import { pollUntil } from './support/poll-until.ts'

const started = /systemd\[1\]: Started panorama-agent\.service/
const newVersion = '999:1'

it('never takes a camera file or a release from its readers: not at a restart, a crash or an upgrade', async () => {
  await using appliance = await Appliance.working()
  const { unit, container } = appliance
  const reader = await startReader(appliance)

  await unit.restart()
  await appliance.until(isWell)
  const hasLastWord = (): boolean => appliance.messages('occ_log').some((line) => line.includes('agent is ready'))
  expect(hasLastWord()).toBe(true) // the last flush of the run before has sent its own log

  const pid = await unit.mainPid()
  await unit.send('SIGKILL')
  await unit.untilLogged(/the run before ended unexpectedly result=signal code=killed status=KILL/)
  await appliance.until(isWell)
  expect(await unit.mainPid()).not.toBe(pid)

  const startsBefore = await unit.countLogged(started)
  await using folder = await tempFolder()
  const newer = await appliance.bring(await repack(inject('packageFile'), newVersion, { folder: folder.path }))
  await container.run('dpkg', '--install', newer)
  await appliance.until(isWell)
  expect(await unit.countLogged(started)).toBe(startsBefore + 1)
  const { stdout } = await container.run('dpkg-query', '--show', '--showformat=${Version} ${Status}', 'panorama-agent')
  expect(stdout).toBe(`${newVersion} install ok installed`)

  const { reads, misses } = await reader.stop()
  expect(misses).toEqual([])
  expect(reads).toBeGreaterThan(100)
})

it('goes on after a reboot where it was, and camera files come back', async () => {
  await using appliance = await Appliance.working()
  const { artifacts } = await appliance.status()

  await appliance.container.reboot()

  const after = await appliance.until(isWell)
  expect(after.artifacts[0]?.releaseId).toBe(artifacts[0]?.releaseId)
  expect(after.artifacts[0]?.fetchedFiles).toBe(0)
  expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'first' })
  await appliance.publish('weights.bin', 'second weights')
  await pollUntil(
    'the new release is there',
    async () => (await appliance.read(`${paths.current}/weights.bin`)) === 'second weights',
  )
})

it('comes back by itself after the power was cut, in the middle of its work', async () => {
  await using appliance = await Appliance.working()
  await appliance.publish('more.bin', Buffer.alloc(20_000_000, 'x'))

  await appliance.container.cutPower()
  await appliance.container.boot()

  await appliance.until((status) => isWell(status) && status.artifacts[0]?.files === 2)
  expect(await appliance.read(`${paths.current}/weights.bin`)).toBe('first weights')
  expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'first' })
})
