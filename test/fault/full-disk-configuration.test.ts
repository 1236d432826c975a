import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { ConfigChanger, configuredAgentCommand } from '../support/config-changer.ts'
import { fillDisk, mountSmallDisk, whyNoMount } from '../support/small-disk.ts'
import { exitOf } from '../support/wait-until.ts'

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

const job = { jobId: 'bad', executionNumber: 1 }
const change = { patch: { logs: { flushSeconds: 7 } }, job }

it.skipIf(noMount !== undefined)(
  'a full disk lets no change begin, and no trial go on that a start of the process cannot be counted for',
  async () => {
    await using site = await createAgentSite({ config: () => ({ artifacts: [], cameras: {} }) })
    const { stateFolder } = site.appliance
    await mkdir(stateFolder)
    await using _ = await mountSmallDisk(stateFolder)
    const changer = new ConfigChanger(site.appliance)
    const start = (): AgentProcess =>
      site.start({ command: configuredAgentCommand, env: { PANORAMA_TEST_SECOND_MS: '1000' } })
    const agent = start()
    await agent.until(isUsing(0))
    await fillDisk(join(stateFolder, 'ballast'), 'bytes')
    await expect(changer.propose(change)).rejects.toThrow(/config\/1\.json cannot be written \(ENOSPC\)/)
    expect(await changer.outcomeOf(job)).toBe(undefined)
    expect((await agent.status()).configuration).toMatchObject({ version: 0, state: 'accepted' })

    await rm(join(stateFolder, 'ballast'), { recursive: true })
    expect(await changer.propose(change)).toMatchObject({ kind: 'trial', number: 2 })
    await agent.until(({ configuration }) => configuration?.state === 'trial')
    agent.kill('SIGKILL')
    await exitOf(agent)
    await fillDisk(join(stateFolder, 'ballast'), 'bytes')
    const restarted = start()
    await restarted.until(isUsing(0))
    expect(restarted.output).toContain('a start with it could not be recorded')
    expect(await changer.outcomeOf(job)).toBe('running')

    await rm(join(stateFolder, 'ballast'), { recursive: true })
    expect(await changer.outcome(job)).toMatchObject({ reverted: true, number: 2 })
    restarted.kill('SIGKILL')
    await exitOf(restarted)
    await start().until(isUsing(0))
  },
)

function isUsing(version: number): (status: StatusDocument) => boolean {
  return ({ configuration }) => configuration?.version === version && configuration.state === 'accepted'
}
