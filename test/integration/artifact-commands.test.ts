import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { agentCommand } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { installedContents } from '../support/installed-artifact.ts'
import { runCommand } from '../support/run-command.ts'
import { waitUntil } from '../support/wait-until.ts'

it('lists releases, goes back to one, and verifies it, by the command line', async () => {
  await using site = await createAgentSite({ config: () => ({ cameras: {} }) })
  await site.publish('weights', 'first')
  const agent = site.start()
  const [first = ''] = await releaseIds(site, agent, 'first')
  await site.publish('weights', 'second')
  await site.sync()
  const [second = ''] = await releaseIds(site, agent, 'second')

  expect(await command(site, 'list', 'model')).toMatch(
    new RegExp(`^${second}  1 files, 6 bytes, installed \\S+, current\n${first}  .*, previous\n$`),
  )
  expect(await command(site, 'rollback', 'model', '--to', first.slice(0, 8))).toMatch(
    new RegExp(`^${first} .*, current, held\n${second} `),
  )
  expect(await weights(site)).toBe('first')
  expect(await command(site, 'verify', 'model')).toBe(`release ${first}: 1 files, 5 bytes read, 0 damaged\n`)
  expect((await agent.status()).artifacts).toMatchObject([{ held: true, releaseId: first }])
  await expect(command(site, 'list', 'other')).rejects.toThrow('no artifact is named "other"')
})

it('fails when it finds damage, and mends it', async () => {
  await using site = await createAgentSite({ config: () => ({ cameras: {} }) })
  await site.publish('weights', 'first')
  const agent = site.start()
  await releaseIds(site, agent, 'first')
  const file = join(site.artifactFolder, 'current', 'weights')
  await chmod(file, 0o644)
  await writeFile(file, 'worse')
  await expect(command(site, 'verify', 'model')).rejects.toThrow('the release is damaged')
  await waitUntil('it is mended', async () => (await weights(site)) === 'first')
})

it('says that nobody answers where nobody runs hooks, as without systemd', async () => {
  const health = { hook: 'check', withinSeconds: 5 }
  await using site = await createAgentSite({
    config: ({ cloud }) => ({
      cameras: {},
      artifacts: [
        { name: 'model', accessPoint: cloud.names.accessPointArn, prefix: 'model/', pollSeconds: 10, health },
      ],
    }),
  })
  await site.publish('weights', 'first')
  const agent = site.start()
  const { artifacts } = await agent.until(({ artifacts: [model] }) => model?.state === 'failing')
  const message = expect.stringContaining('hook check said nothing within 5 s: nobody answers') as string
  expect(artifacts).toMatchObject([{ health: 'unhealthy', lastError: { name: 'UnhealthyReleaseError', message } }])
  expect(await weights(site)).toBe('first')
})

async function weights(site: AgentSite): Promise<string | undefined> {
  return (await installedContents(site.artifactFolder))?.get('weights')?.toString()
}

async function releaseIds(
  site: AgentSite,
  agent: ReturnType<AgentSite['start']>,
  content: string,
): Promise<readonly string[]> {
  await waitUntil(`${content} is installed`, async () => (await weights(site)) === content)
  const { artifacts } = await agent.until(({ artifacts: [model] }) => model?.phase === 'idle')
  return artifacts.map(({ releaseId }) => releaseId ?? '')
}

async function command(site: AgentSite, ...args: readonly string[]): Promise<string> {
  const [executable = '', ...rest] = agentCommand
  const all = [...rest, 'artifacts', ...args, '--config', site.appliance.configFile]
  return (await runCommand(executable, all)).stdout
}
