/*! longwire 0.1.0, BSD-3-Clause */

export * from "./longwire.js";
