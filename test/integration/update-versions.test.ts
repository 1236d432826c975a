import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, expect, test } from 'vitest'

import { namesIn, type RequestBench } from '../support/request-bench.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { ask, done, expectUnchanged, installed, otherKey, trialOf, updateBenches } from '../support/update-bench.ts'

const owned = new AsyncDisposableStack()
const { appliance, publish } = updateBenches(owned.use(await tempFolder()).path)

afterAll(async () => {
  await owned.disposeAsync()
})

test.each([
  ['1.1.0~rc.2', '1.1.0~rc.10'],
  ['1.1.0~rc.10', '1.1.0'],
  ['1.0.0', '1.1.0~rc.2'],
])('goes up from %s to %s', async (from, to) => {
  await using bench = await appliance(from)
  await publish(bench, { version: to })
  expect(await ask(bench, 'install-update', 'agent:60')).toEqual(done)
  expect(await trialOf(bench)).toMatchObject({ from, to })
})

test.each([
  ['1.1.0', '1.1.0~rc.10'],
  ['1.1.0~rc.10', '1.1.0~rc.2'],
  ['1.0.0', '1.0.0~rc.1'],
])('does not go down from %s to %s', async (from, to) => {
  await using bench = await appliance(from)
  await publish(bench, { version: to })
  expect(await ask(bench, 'install-update', 'agent:60')).toEqual({ result: 'refused', code: 'not-newer' })
  await expectUnchanged(bench)
})

test('takes the version that is expected, and no other, whatever the release holds by then', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  const argument = 'agent:60:abcdef0123456789'
  const unexpected = { result: 'refused', code: 'unexpected-version' }
  expect(await ask(bench, 'install-update', `${argument}:1.2.0`)).toEqual(unexpected)
  expect(await ask(bench, 'install-update', `${argument}:1.1.0~rc.1`)).toEqual(unexpected)
  await expectUnchanged(bench)
  expect(await ask(bench, 'install-update', `${argument}:1.1.0`)).toEqual(done)
})

test('looks for the version behind the signature alone', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' }, otherKey.privateKey)
  expect(await ask(bench, 'install-update', 'agent:60:abcdef0123456789:1.2.0')).toMatchObject({ code: 'bad-signature' })
})

test('takes the confirmation of a release candidate', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0~rc.2' })
  await ask(bench, 'install-update', 'agent')
  await setPhase(bench, 'watching')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'other-version' })
  expect(await ask(bench, 'confirm-update', '1.1.0~rc.2')).toEqual(done)
})

test('takes the confirmation of the version on trial, once dpkg is through with it', async () => {
  await using bench = await appliance()
  await publish(bench, { version: '1.1.0' })
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'no-trial' })
  await ask(bench, 'install-update', 'agent')
  expect(await ask(bench, 'confirm-update', installed)).toEqual({ result: 'refused', code: 'other-version' })
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'failed', code: 'not-yet' })
  await setPhase(bench, 'watching')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual(done)
  expect(await namesIn(join(bench.folder, 'update'))).toContain('confirmed')
  await setPhase(bench, 'reverting')
  expect(await ask(bench, 'confirm-update', '1.1.0')).toEqual({ result: 'refused', code: 'too-late' })
})

async function setPhase(bench: RequestBench, phase: string): Promise<void> {
  const trial = await trialOf(bench)
  await writeFile(join(bench.folder, 'update/trial.json'), JSON.stringify(Object.assign({}, trial, { phase })))
}
