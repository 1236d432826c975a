import { readdir } from 'node:fs/promises'

import { describe, expect, test } from 'vitest'
import * as z from 'zod'

import { parseJobDocument } from '../../../agent/jobs/job-document.ts'
import { deadlineMs } from '../../../agent/jobs/operations.ts'
import { readTemplate } from '../../cloud/iam/cloud-policies.ts'

const variables = { ArtifactName: 'people-counter', UnitName: 'people-counter.service' }
const folder = new URL('../../../config/cloud/job-templates/', import.meta.url)
const names = (await readdir(folder)).map((file) => file.replace(/\.json$/, ''))

/** What the step timer in the cloud is beyond the deadline of an operation. */
const spareMinutes = 5

const percent = z.number().min(0).max(100).multipleOf(0.01)
const count = z.int().min(1)
const perMinute = z.int().min(1).max(1_000)

/** The input of CreateJobTemplate as the API reference of AWS IoT bounds it. */
const templateSchema = z.strictObject({
  jobTemplateId: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
  description: z.string().regex(/^\P{C}{1,2028}$/u),
  document: z.string().max(32_768),
  jobExecutionsRolloutConfig: z.strictObject({
    maximumPerMinute: perMinute,
    exponentialRate: z.strictObject({
      baseRatePerMinute: perMinute,
      incrementFactor: z.number().min(1.1).max(5).multipleOf(0.1),
      rateIncreaseCriteria: z.strictObject({ numberOfSucceededThings: count }),
    }),
  }),
  abortConfig: z.strictObject({
    criteriaList: z
      .array(
        z.strictObject({
          failureType: z.enum(['FAILED', 'REJECTED', 'TIMED_OUT', 'ALL']),
          action: z.literal('CANCEL'),
          thresholdPercentage: percent,
          minNumberOfExecutedThings: count,
        }),
      )
      .min(1),
  }),
  timeoutConfig: z.strictObject({ inProgressTimeoutInMinutes: z.int().min(1).max(10_080) }),
  jobExecutionsRetryConfig: z
    .strictObject({
      criteriaList: z
        .array(
          z.strictObject({
            failureType: z.enum(['FAILED', 'TIMED_OUT', 'ALL']),
            numberOfRetries: z.int().min(0).max(10),
          }),
        )
        .min(1)
        .max(2),
    })
    .optional(),
})

async function template(name: string): Promise<z.infer<typeof templateSchema>> {
  return templateSchema.parse(await readTemplate(`job-templates/${name}`, variables))
}

test('there is a job template for each operation', () => {
  expect(names.sort()).toEqual([
    'collect-diagnostics',
    'configure',
    'forget-certificates',
    'reboot',
    'refresh-cameras',
    'restart-agent',
    'restart-application',
    'rollback-artifact',
    'rotate-certificate',
    'sync-artifacts',
    'update-agent',
  ])
})

describe.each(names)('the job template %s', (name) => {
  test('is what CreateJobTemplate takes, under a name of ours', async () => {
    expect((await template(name)).jobTemplateId).toBe(`panorama-${name}`)
  })

  test('has a document that appliances take', async () => {
    const parsed = parseJobDocument(JSON.parse((await template(name)).document))
    expect(parsed).toMatchObject({ kind: 'operation', operation: { operation: name } })
  })

  test('gives appliances the time that their own step timer asks for', async () => {
    const { document, timeoutConfig } = await template(name)
    const parsed = parseJobDocument(JSON.parse(document))
    if (parsed.kind !== 'operation') throw new Error('it is not taken')
    const stepMinutes = deadlineMs(parsed.operation) / 60_000 + spareMinutes
    expect(timeoutConfig.inProgressTimeoutInMinutes).toBeGreaterThanOrEqual(stepMinutes)
  })

  test('begins slowly, and stops where appliances refuse it or fail', async () => {
    const { abortConfig, jobExecutionsRolloutConfig } = await template(name)
    const { maximumPerMinute, exponentialRate } = jobExecutionsRolloutConfig
    expect(exponentialRate.baseRatePerMinute).toBeLessThanOrEqual(maximumPerMinute / 10)
    const types = abortConfig.criteriaList.map(({ failureType }) => failureType)
    expect(types).toEqual(expect.arrayContaining(['FAILED', 'REJECTED']))
    expect(new Set(types).size).toBe(types.length)
  })

  test('is tried again only where that does no harm, ten times at most', async () => {
    const retries = (await template(name)).jobExecutionsRetryConfig?.criteriaList ?? []
    const isHarmless = ['sync-artifacts', 'refresh-cameras', 'collect-diagnostics'].includes(name)
    expect(retries.length > 0).toBe(isHarmless)
    expect(retries.reduce((sum, { numberOfRetries }) => sum + numberOfRetries, 0)).toBeLessThanOrEqual(10)
  })
})

test('fleet indexing is set up for the shadow that appliances report in', async () => {
  const indexing = await readTemplate('fleet-indexing', {})
  expect(indexing).toMatchObject({
    thingIndexingConfiguration: { namedShadowIndexingMode: 'ON', filter: { namedShadowNames: ['panorama-agent'] } },
  })
})
