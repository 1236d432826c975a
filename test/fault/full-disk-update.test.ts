import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, statfs, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { applianceWorld } from '../../agent/request-handler/update/appliance-world.ts'
import { runTrial } from '../../agent/request-handler/update/run-trial.ts'
import { takeIn } from '../../agent/request-handler/update/take-in.ts'
import type { Trial } from '../../agent/request-handler/update/trial.ts'
import { UpdateFolder } from '../../agent/request-handler/update/update-folder.ts'
import { fillDisk, mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { tempFolder } from '../support/temp-folder.ts'

const why = await whyNoMount()
if (why !== undefined) console.log(`skipped, because no file system can be mounted here: ${why}`)

const trial: Trial = {
  version: 1,
  id: 'job1',
  from: '1.0.0',
  to: '1.1.0',
  confirmSeconds: 60,
  phase: 'watching',
  begun: 1,
}

describe.skipIf(why !== undefined)('an update on a disk that is full', () => {
  it("does not fill root's disk with a package that needs none of the agent's", async () => {
    await using folder = await tempFolder()
    const at = (name: string): string => join(folder.path, name)
    await mkdir(at('artifacts/agent/releases/r1'), { recursive: true })
    await symlink('releases/r1', at('artifacts/agent/current'))
    const deb = at('artifacts/agent/releases/r1/panorama-agent_1.1.0_amd64.deb')
    await writeFile(`${deb}.sig`, 'signature')
    await writeFile(deb, '')
    await truncate(deb, 64 * 1_048_576) // has no bytes on the disk
    await mkdir(at('update'))
    await using _ = await mountSmallDisk(at('update'), '80m')
    const before = await statfs(at('update'))
    const options = { artifacts: at('artifacts'), name: 'agent', architecture: 'amd64', incoming: at('update') }
    expect(takeIn({ ...options, maxBytes: 268_435_456 })).toBe('no-space')
    await rm(join(at('update'), 'update.deb.sig'))
    expect(await readdir(at('update'))).toEqual([])
    expect((await statfs(at('update'))).bavail).toBe(before.bavail)
  })

  it.each([
    ['during its trial', false],
    ['before the power was cut', true],
  ])('goes back from a version that has filled the disk %s', async (_when, isFullAtStart) => {
    await using folder = await tempFolder()
    const at = (name: string): string => join(folder.path, name)
    await mkdir(at('update'))
    await using _ = await mountSmallDisk(at('update'))
    const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()]
    const updates = new UpdateFolder(at('update'), { uid, gid })
    await writeFile(updates.installed, 'old package')
    await writeFile(at('update/verified'), Buffer.alloc(1_048_576))
    updates.stage(at('update/verified'))
    updates.save(trial)
    for (const [name, text] of [
      ['dpkg-query', '#!/bin/sh\ncat "${0%/*}/status"\n'],
      ['dpkg', '#!/bin/sh\necho "ii  1.0.0" >"${0%/*}/status"\n'],
      ['systemctl', '#!/bin/sh\necho ActiveState=active\n'],
    ] as const)
      await writeFile(at(name), text, { mode: 0o755 })
    await writeFile(at('status'), 'ii  1.1.0\n')
    const places = {
      artifacts: at('artifacts'),
      programs: at('lib'),
      units: at('units'),
      root: at('root'),
      dpkgFolder: at('dpkg'),
    }
    const tools = { dpkg: at('dpkg'), dpkgDeb: 'dpkg-deb', dpkgQuery: at('dpkg-query') }
    await mkdir(at('units'))
    const world = applianceWorld({
      folder: updates,
      update: { folder: at('update'), ...places, ...tools },
      systemctl: at('systemctl'),
      nowMs: () => 0,
      print: () => undefined,
    })
    const fill = () => fillDisk(at('update/ballast'), 'bytes')
    if (isFullAtStart) await fill()
    const watch = async () => {
      if (!isFullAtStart) await fill()
      return { kind: 'failed', reason: 'it fills the disk' } as const
    }
    await runTrial({ ...world, watch }, new AbortController().signal)
    expect(updates.lastId()).toBe('job1')
    expect(existsSync(updates.installed)).toBe(true)
    expect(existsSync(updates.candidate)).toBe(false)
  })
})
