import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { UpdateReports, updateVersionIn } from '../../../agent/root-requests/update-reports.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'

test('reads what root tells of updates', async () => {
  await using folder = await tempFolder()
  const reports = new UpdateReports(folder.path)
  expect(await reports.trial()).toBeUndefined()
  expect(await reports.last()).toBeUndefined()
  const versions = { version: 1, id: 'a', from: '1.0.0', to: '1.1.0' }
  const confirmSeconds = 60
  await writeFile(
    join(folder.path, 'trial.json'),
    JSON.stringify({ ...versions, confirmSeconds, phase: 'watching', begun: 1 }),
  )
  await writeFile(join(folder.path, 'last-update.json'), JSON.stringify({ ...versions, outcome: 'confirmed' }))
  const trial = { ...versions, confirmSeconds, phase: 'watching' }
  const last = { ...versions, outcome: 'confirmed' }
  expect(await reports.trial()).toEqual(trial)
  expect(await reports.last()).toEqual(last)
  expect(reports.known).toEqual({ trial, last })
})

test('says which document cannot be read', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'trial.json'), '{')
  await expect(new UpdateReports(folder.path).trial()).rejects.toThrow('trial.json cannot be read')
})

test('finds the package for this machine among those for others', async () => {
  await using folder = await tempFolder()
  for (const name of [`panorama-agent_1.1.0_${architecture}.deb`, `panorama-agent_1.1.0_${architecture}.deb.sig`])
    await writeFile(join(folder.path, name), '')
  await writeFile(join(folder.path, 'panorama-agent_1.2.0_riscv64.deb'), '')
  expect(await updateVersionIn(folder.path)).toBe('1.1.0')
})

test.each([
  ['no package', [], 'holds 0 packages'],
  ['two packages', [`panorama-agent_1.1.0_${architecture}.deb`, `panorama-agent_1.2.0_${architecture}.deb`], 'holds 2'],
  ['a package that nobody signed', [`panorama-agent_1.1.0_${architecture}.deb`], 'no signature'],
])('refuses %s', async (_what, names, says) => {
  await using folder = await tempFolder()
  for (const name of names) await writeFile(join(folder.path, name), '')
  await expect(updateVersionIn(folder.path)).rejects.toThrow(says)
})

test('says that there is no release', async () => {
  await expect(updateVersionIn('/nowhere/at/all')).rejects.toThrow('no release yet')
})
