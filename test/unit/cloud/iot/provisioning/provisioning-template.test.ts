import { describe, expect, it } from 'vitest'

import { readTemplate } from '../../../../cloud/iam/cloud-policies.ts'
import { evaluateTemplate, parseTemplate } from '../../../../cloud/iot/provisioning/provisioning-template.ts'

const certificateId = 'c'.repeat(64)
const certificate = {
  Type: 'AWS::IoT::Certificate',
  Properties: { CertificateId: { Ref: 'AWS::IoT::Certificate::Id' } },
}
const thing = { Type: 'AWS::IoT::Thing', Properties: { ThingName: { Ref: 'Name' } } }
const parameters = {
  Name: { Type: 'String' },
  Site: { Type: 'String', Default: 'north' },
  'AWS::IoT::Certificate::Id': { Type: 'String' },
}
const small = { Parameters: parameters, Resources: { certificate, thing } }

describe('the templates of config/cloud/provisioning/', () => {
  it('make an appliance of a serial number', async () => {
    const template = parseTemplate(await readTemplate('provisioning/panorama-appliance', {}))

    expect(evaluateTemplate(template, { SerialNumber: 'SN-1' }, certificateId)).toEqual({
      thingName: 'panorama_SN-1',
      thingTypeName: undefined,
      attributes: { serialNumber: 'SN-1' },
      overrides: { attributes: 'MERGE', thingTypeName: 'DO_NOTHING' },
      certificateId,
      certificateStatus: 'ACTIVE',
      policyNames: ['panorama-appliance', 'panorama-appliance-rotation'],
      deviceConfiguration: {},
    })
  })

  it('attach one more certificate to a thing, and change nothing of it', async () => {
    const template = parseTemplate(await readTemplate('provisioning/panorama-appliance-rotation', {}))

    expect(evaluateTemplate(template, { ThingName: 'panorama_SN-1' }, certificateId)).toMatchObject({
      thingName: 'panorama_SN-1',
      attributes: {},
      overrides: { attributes: 'DO_NOTHING', thingTypeName: 'DO_NOTHING' },
      policyNames: ['panorama-appliance', 'panorama-appliance-rotation'],
    })
  })
})

describe('a provisioning template', () => {
  it('takes defaults, joins, and sends a configuration', () => {
    const template = parseTemplate({
      ...small,
      DeviceConfiguration: { url: { 'Fn::Join': ['/', ['https://example.com', { Ref: 'Site' }, { Ref: 'Name' }]] } },
    })

    expect(evaluateTemplate(template, { Name: 'a' }, certificateId).deviceConfiguration).toEqual({
      url: 'https://example.com/north/a',
    })
    expect(evaluateTemplate(template, { Name: 'a', Site: 'south' }, certificateId).deviceConfiguration).toEqual({
      url: 'https://example.com/south/a',
    })
  })

  it('replaces what a thing has where it does not say otherwise', () => {
    expect(evaluateTemplate(parseTemplate(small), { Name: 'a' }, certificateId).overrides).toEqual({
      attributes: 'REPLACE',
      thingTypeName: 'REPLACE',
    })
  })

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['a parameter is missing', {}, 'The parameter Name is missing'],
    ['a parameter is not declared', { Name: 'a', Colour: 'red' }, 'The template has no parameter Colour'],
    [
      'the certificate is given by the device',
      { Name: 'a', 'AWS::IoT::Certificate::Id': 'd'.repeat(64) },
      'The template has no parameter AWS::IoT::Certificate::Id',
    ],
    ['the name is none of a thing', { Name: 'a/b' }, '"a/b" is no name for a thing'],
  ])('refuses a request in which %s', (_what, given, message) => {
    expect(() => evaluateTemplate(parseTemplate(small), given, certificateId)).toThrow(
      expect.objectContaining({ statusCode: 400, errorCode: 'InvalidParameters', message }),
    )
  })

  it.each<[string, unknown, RegExp]>([
    ['without a thing', { ...small, Resources: { certificate } }, /needs one AWS::IoT::Thing/],
    ['without a certificate', { ...small, Resources: { thing } }, /needs one AWS::IoT::Certificate/],
    ['with two things', { ...small, Resources: { certificate, thing, another: thing } }, /needs one AWS::IoT::Thing/],
    [
      'with a function that it does not know',
      { ...small, DeviceConfiguration: { a: { 'Fn::Sub': '${Name}' } } },
      /not known whole/,
    ],
    [
      'with a property that it does not know',
      {
        ...small,
        Resources: { certificate, thing: { ...thing, Properties: { ThingName: 'a', ThingGroups: ['g'] } } },
      },
      /ThingGroups/,
    ],
    ['that is too long', { ...small, DeviceConfiguration: { a: 'a'.repeat(10_240) } }, /longer than 10,240 characters/],
    ['that is no object', 'template', /not known whole/],
  ])('is refused %s', (_what, body, message) => {
    expect(() => parseTemplate(body)).toThrow(message)
  })
})
