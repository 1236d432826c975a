import fc from 'fast-check'
import { expect, it } from 'vitest'

import { findStage, moveStages, type SecretVersion } from '../../../cloud/secrets/secret-versions.ts'

function version(id: string, stages: readonly string[] = []): SecretVersion {
  return { id, value: { text: id }, createdMs: 0, stages }
}

const puts = fc.array(fc.uniqueArray(fc.constantFrom('AWSCURRENT', 'AWSPENDING', 'blue'), { minLength: 1 }), {
  maxLength: 20,
})

it('never gives a stage to two versions and never loses AWSCURRENT', () => {
  fc.assert(
    fc.property(puts, (steps) => {
      let versions: readonly SecretVersion[] = [version('first', ['AWSCURRENT'])]
      for (const [index, stages] of steps.entries()) {
        const before = findStage(versions, 'AWSCURRENT')?.id
        versions = moveStages([...versions, version(`v${index}`)], `v${index}`, stages)
        const labels = versions.flatMap((one) => one.stages)
        expect(new Set(labels).size).toBe(labels.length)
        expect(findStage(versions, 'AWSCURRENT')?.id).toBe(stages.includes('AWSCURRENT') ? `v${index}` : before)
        if (stages.includes('AWSCURRENT')) expect(findStage(versions, 'AWSPREVIOUS')?.id).toBe(before)
      }
    }),
  )
})

it('drops the oldest versions without a stage beyond 100', () => {
  let versions: readonly SecretVersion[] = [version('blue', ['blue']), version('v0', ['AWSCURRENT'])]
  for (let index = 1; index <= 130; index += 1) {
    versions = moveStages([...versions, version(`v${index}`)], `v${index}`, ['AWSCURRENT'])
  }
  expect(versions).toHaveLength(100)
  expect(versions.map(({ id }) => id).slice(0, 2)).toEqual(['blue', 'v32'])
  expect(findStage(versions, 'AWSCURRENT')?.id).toBe('v130')
})
